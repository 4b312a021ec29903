"""Card numbers of every network and length, the ways they are written, and a search for them in what came out."""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator

import numpy as np

from models.pan import luhn_valid

#: First digits of a network's numbers, and how many digits they have.
NETWORKS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("4", (13, 16, 19)), ("51", (16,)), ("53", (16,)), ("55", (16,)), ("2221", (16,)), ("2720", (16,)),
    ("34", (15,)), ("37", (15,)), ("300", (14,)), ("305", (14,)), ("36", (14, 19)), ("38", (14,)),
    ("3528", (16, 19)), ("3589", (16, 19)), ("6011", (16, 19)), ("644", (16,)), ("65", (16, 19)),
    ("62", (16, 17, 18, 19)), ("2200", (16, 17, 18, 19)), ("50", (13, 14, 15, 16, 17, 18, 19)),
    ("5893", (13, 16, 18)), ("6304", (13, 14, 15, 16, 17, 18, 19)), ("6759", (13, 16, 19)), ("81", (16,)),
    ("8600", (16,)), ("9051", (16,)), ("9112", (16,)), ("9792", (16,)), ("9860", (16,)),
)  # fmt: skip
_HEAD = 6
_HASHES = 1 << 20
_BETWEEN = r"[ ._/\u00a0\u2010-\u2015-]{0,3}"
_RUN = re.compile(rf"[0-9](?:{_BETWEEN}[0-9]){{12,}}")
_ESCAPED_DIGIT = re.compile(r"\\u00(3[0-9])")
_ASCII_DIGIT = {
    code: str(unicodedata.decimal(chr(code))) for code in range(0x80, sys.maxunicode) if chr(code).isdecimal()
}


def card_numbers(count: int, seed: int) -> list[str]:
    """Distinct Luhn-valid numbers, all networks and lengths among them."""
    rng = random.Random(seed)
    kinds = [(prefix, length) for prefix, lengths in NETWORKS for length in lengths]
    found: dict[str, None] = {}
    while len(found) < count:
        prefix, length = kinds[len(found) % len(kinds)]
        digits = prefix + "".join(rng.choices("0123456789", k=length - len(prefix) - 1))
        found[next(digits + str(check) for check in range(10) if luhn_valid(digits + str(check)))] = None
    return list(found)


def grouped(card: str, separator: str) -> str:
    """In fours, a card of American Express or Diners as it is printed."""
    sizes = (4, 6, 5) if len(card) in (14, 15) and card[0] == "3" else (4, 4, 4, 4, 4)
    groups, rest = [], card
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    return separator.join(group for group in groups if group)


def in_script(card: str, zero: str) -> str:
    """In the digits of another script."""
    return "".join(chr(ord(zero) + int(digit)) for digit in card)


#: The ways a card number can be written as text.
WRITINGS: tuple[Callable[[str], str], ...] = (
    lambda card: card,
    lambda card: grouped(card, " "),
    lambda card: grouped(card, "-"),
    lambda card: f"paid with {card}, thank you",
    lambda card: in_script(card, "\uff10"),
    lambda card: grouped(card, "\u00a0"),
    " ".join,
    lambda card: in_script(card, "\u0660"),
    lambda card: f"{card}=2705",
)
#: The ways it can be written in JSON.
JSON_WRITINGS: tuple[Callable[[str], str], ...] = (
    *((lambda card, write=write: json.dumps(write(card), ensure_ascii=False)) for write in WRITINGS),
    lambda card: '"' + "".join(f"\\u00{ord(digit):02x}" for digit in card) + '"',
    lambda card: card,
    lambda card: f"-{card}",
    lambda card: f"{card}.0",
    lambda card: f"{card}.25",
    lambda card: f"[{card}]",
    lambda card: f'{{"{card}": "{card}"}}',
)


class Search:
    """Finds any of some card numbers in what a program put out, however it is written.

    Args:
        cards: to be found.
    """

    def __init__(self, cards: list[str]) -> None:
        self._cards = frozenset(cards)
        self._heads = frozenset(card[:_HEAD] for card in cards)
        numbers = np.array([int(card) for card in cards if int(card) < 2**63], np.int64)
        floats = numbers.astype(np.float64)
        self._binary = tuple(
            (kind, np.unique(values.astype(kind).view(kind[0] + "i8")))
            for kind, values in (("<i8", numbers), (">i8", numbers), ("<f8", floats), (">f8", floats))
        )

    def text(self, data: bytes) -> set[str]:
        """Card numbers among the digits of a text or of a file that holds texts."""
        text = data.decode("utf-8", "replace").translate(_ASCII_DIGIT)
        text = _ESCAPED_DIGIT.sub(lambda match: chr(int(match[1], 16)), text)
        return {card for run in _RUN.findall(text) for card in self._within(re.sub(r"[^0-9]", "", run))}

    def _within(self, digits: str) -> Iterator[str]:
        for start in range(len(digits) - 12):
            if digits[start : start + _HEAD] in self._heads:
                for length in range(13, 20):
                    if digits[start : start + length] in self._cards:
                        yield digits[start : start + length]

    def binary(self, data: bytes) -> set[str]:
        """Card numbers among the 64-bit integers and floats, of either byte order, at any place of a file."""
        found: set[str] = set()
        for offset in range(8):
            part = np.frombuffer(data[offset : offset + (len(data) - offset) // 8 * 8], np.uint8)
            for kind, wanted in self._binary:
                words = part.view(kind[0] + "i8")
                maybe = np.zeros(_HASHES, bool)
                maybe[wanted % _HASHES] = True
                hits = np.intersect1d(words[maybe[words % _HASHES]], wanted)
                found |= {str(int(hit)) for hit in hits.astype(kind[0] + "i8").view(kind)}
        return found
