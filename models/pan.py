"""Recognise payment card numbers (PANs), so that they can be kept out of everything."""

from __future__ import annotations

import re

import polars as pl

# ISO/IEC 7812: 12 to 19 digits; the card networks use first digits 2 to 6 and at least 13 digits. People write them
# in one piece, in groups of four, or as 4-6-5 or 4-6-4. The digits of a decimal fraction and of a UUID are none.
_SHAPES = (
    r"[2-6][0-9]{12,18}",
    r"[2-6][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}",
    r"3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}",
)
#: The same test for a vectorised pre-selection; Polars' regex has no look-around, so it may select too much.
CANDIDATE_PATTERN = "|".join(_SHAPES)
_CANDIDATE = re.compile(rf"(?<![0-9])(?<![0-9]\.)(?:{CANDIDATE_PATTERN})(?![0-9])")


def luhn_valid(digits: str) -> bool:
    """Whether a string of ASCII digits satisfies the Luhn check (ISO/IEC 7812-1, annex B)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if position % 2:
            value = value * 2 - 9 if value > 4 else value * 2
        total += value
    return total % 10 == 0


def card_number_rows(cells: pl.Series) -> list[int]:
    """Positions of the text cells that hold a card number."""
    suspects = cells.str.contains(CANDIDATE_PATTERN).fill_null(False)
    return [row for row in suspects.arg_true() if contains_card_number(cells[row])] if suspects.any() else []


def contains_card_number(text: str) -> bool:
    """Whether a text holds a Luhn-valid number of 13 to 19 digits that begins as card numbers do."""
    return any(luhn_valid(match.group().replace(" ", "").replace("-", "")) for match in _CANDIDATE.finditer(text))
