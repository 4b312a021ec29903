"""Recognise payment card numbers (PANs), so that they can be kept out of everything."""

from __future__ import annotations

import re
import unicodedata

import polars as pl

# ISO/IEC 7812: 12 to 19 digits; networks that issue cards use at least 13. First digits: Mastercard 51-55 and
# 2221-2720, Mir 2200-2204, Visa 4, American Express, Diners and JCB 3, Maestro and others 5 and 6, RuPay also 81 and
# 82, Uzcard 8600, ArCa 9051, Belkart 9112, Troy 9792, Humo 9860. Not 20 and 21: dates begin so. The digits of a decimal
# fraction and of a UUID are no card number.
_FOUR = r"(?:2[2-7][0-9]{2}|[3-6][0-9]{3}|8[12][0-9]{2}|8600|9051|9112|9792|9860)"
_ONE_PIECE = rf"{_FOUR}[0-9]{{9,15}}"
#: In groups, as people write and print them: fours, 4-6-5 and 4-6-4, 4-4-5, 4-3-3-3, 6-13, halves.
_GROUPS = (
    rf"{_FOUR}S[0-9]{{4}}S[0-9]{{4}}S[0-9]{{1,7}}",
    rf"{_FOUR}S[0-9]{{4}}S[0-9]{{4}}S[0-9]{{4}}S[0-9]{{1,3}}",
    rf"{_FOUR}S[0-9]{{6}}S[0-9]{{4,5}}",
    rf"{_FOUR}S[0-9]{{4}}S[0-9]{{5}}",
    rf"{_FOUR}S[0-9]{{3}}S[0-9]{{3}}S[0-9]{{3}}",
    r"6[0-9]{5}S[0-9]{7,13}",
    rf"{_FOUR}[0-9]{{4}}S[0-9]{{5,11}}",
)
#: Each digit by itself.
_SINGLE = r"[2-9](?:S[0-9]){12,18}"
#: As programs write large floats: 4.111111111111111e+15.
_FLOAT = r"([2-9])\.([0-9]{10,18})[eE]\+?(1[2-8])"
_SEPARATOR, _ANY_SEPARATOR = r"[ ._/-]{1,3}", r"[^0-9A-Za-z]{1,3}"

#: A vectorised pre-selection; Polars' regex has no look-around, so it selects too much.
CANDIDATE_PATTERN = "|".join(
    (
        _ONE_PIECE,
        *(shape.replace("S", _ANY_SEPARATOR) for shape in (*_GROUPS, _SINGLE)),
        r"[2-9]\.[0-9]{10,18}[eE]",
        r"[\p{Nd}&&[^0-9]]|\p{Cf}",  # digits of other scripts; characters that cannot be seen
    )
)
# Several shapes may begin at one place: each looks ahead, so that none hides another.
_EXACT = tuple(
    re.compile(rf"{before}(?=({shape.replace('S', _SEPARATOR)})(?![0-9]))")
    for before, shape in ((r"(?<![0-9])(?<![0-9]\.)", _ONE_PIECE), *((r"(?<![0-9])", shape) for shape in _GROUPS))
)
_ONE_BY_ONE = re.compile(rf"(?<![0-9])(?=({_SINGLE.replace('S', _SEPARATOR)}))")
_WRITTEN_FLOAT = re.compile(rf"(?<![0-9.]){_FLOAT}(?![0-9])")
_BEGINS = re.compile(_FOUR)
_TWELVE_DIGITS = re.compile(r"(?:[^0-9]*[0-9]){12}")
_FEWEST, _MOST = 13, 19
#: Whole tokens whose digits are no number: a UUID, and digests in hexadecimal of the usual lengths, with a letter.
_DIGEST = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9-]*[A-Fa-f])"
    r"(?:[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
    r"|(?:[0-9a-f]{24}|[0-9A-F]{24}|[0-9a-f]{32}|[0-9A-F]{32}|[0-9a-f]{40}|[0-9A-F]{40}|[0-9a-f]{64}|[0-9A-F]{64}))"
    r"(?![0-9A-Za-z])"
)
#: Long numbers and digests that stand alone in a cell; of these one in ten looks like a card number by chance.
_BARE = r"^\s*[+-]?[0-9]{11,19}(?:\.0)?\s*$"
#: So many cells tell what a column holds: below the first share of hits by chance, from the second on card numbers.
_FEWEST_CELLS, _BY_CHANCE, _SURELY = 50, 0.3, 0.7
_LOOKED_AT = 2_000
#: Below the smallest card number, so no digits need to be looked at.
SURELY_NO_CARD = 1_999_999_999_999.0


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
    """Whether a text holds a Luhn-valid number of 13 to 19 digits that begins as card numbers do.

    In one piece, in the groups people write, digit by digit, or as a float; the digits may be of any script, the
    separators any space, dash, dot, slash or underscore.
    """
    if not text.isascii():
        text = _plain(text)
    if not _TWELVE_DIGITS.match(text):
        return False
    return _holds_card_number(text) and _holds_card_number(_DIGEST.sub("#", text))


def _holds_card_number(text: str) -> bool:
    if any(luhn_valid(_digits(match[1])) for shape in _EXACT for match in shape.finditer(text)):
        return True
    if any(_begins_with_card(_digits(match[1])) for match in _ONE_BY_ONE.finditer(text)):
        return True
    return any(_float_is_card(*match.groups()) for match in _WRITTEN_FLOAT.finditer(text))


def column_of_cards(cells: pl.Series) -> bool | None:
    """Whether a text column holds card numbers, by the share of its bare long numbers that look like one.

    None where too few cells are such numbers, or the share tells nothing: then each cell is looked at.
    """
    bare = cells.filter(cells.str.contains(_BARE).fill_null(False))
    if len(bare) < max(_FEWEST_CELLS, len(cells) // 2):
        return None
    some = bare.gather_every(-(-len(bare) // _LOOKED_AT))
    share = sum(contains_card_number(cell) for cell in some) / len(some)
    return True if share >= _SURELY else False if share < _BY_CHANCE else None


def is_card_number(value: float) -> bool:
    """Whether the whole part of a number, of either sign, is a card number, as it was sent or as a float."""
    if not abs(value) > SURELY_NO_CARD:
        return False
    as_float = abs(float(value))
    return contains_card_number(f"{abs(int(value))} | {int(as_float)} | {as_float!r}")


def _plain(text: str) -> str:
    """With ASCII digits, spaces and hyphens for those of other scripts, and without what cannot be seen."""
    plain = []
    for character in text:
        match unicodedata.category(character):
            case "Nd":
                plain.append(str(unicodedata.decimal(character)))
            case "Zs" | "Zl" | "Zp":
                plain.append(" ")
            case "Pd":
                plain.append("-")
            case "Cf":
                pass
            case _:
                plain.append(character if character not in "\u00b7\u2022\u2212" else "-")
    return "".join(plain)


def _digits(written: str) -> str:
    return "".join(character for character in written if "0" <= character <= "9")


def _begins_with_card(digits: str) -> bool:
    """Whether 13 or more of the first digits are a card number."""
    return _BEGINS.match(digits) is not None and any(
        luhn_valid(digits[:length]) for length in range(_FEWEST, min(len(digits), _MOST) + 1)
    )


def _float_is_card(first: str, fraction: str, exponent: str) -> bool:
    whole = (first + fraction)[: int(exponent) + 1].ljust(int(exponent) + 1, "0")
    return _BEGINS.match(whole) is not None and luhn_valid(whole)
