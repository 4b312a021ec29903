"""Numbers as people and exports write them: ``$-28.60``, ``(1,234.50)``, ``1.234,50 EUR``, ``28,60-``.

One text or a column at once, by the same regular expressions and the same correctly rounded conversion.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import polars as pl

_BLANK = r"[ \t\u00a0\u202f]*"
_MINUS = r"[-\u2212]"
PARENTHESES, BEHIND = "()", "-"


@dataclass(frozen=True)
class NumberForm:
    """How numbers are written.

    Attributes:
        decimal: "." or ",".
        thousands: what stands between groups of digits, where there is something; a blank stands for every blank, an
            apostrophe for the typographic one, too.
        marks: texts that may stand on either side.
        negative: ``()``: parentheses are a minus; ``-``: a minus may stand behind; any other: this text is a minus.
    """

    decimal: str = "."
    thousands: str = ""
    marks: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    def value(self, text: str) -> float | None:
        """The number a text stands for, None where it is none."""
        match = re.fullmatch(self.regex, text)
        if match is None:
            return None
        before, digits, fraction, behind = (match[name] or "" for name in ("before", "digits", "fraction", "behind"))
        signs = [bool(re.search(sign, side)) for side, sign in zip((before, behind), self._signs, strict=True)]
        opened, closed = "(" in before, ")" in behind
        if opened != closed or sum((*signs, opened)) > 1:
            return None
        size = float(f"{re.sub(self._separator, '', digits)}.{fraction or '0'}")
        return -size if any((*signs, opened)) else size

    def column(self, cells: pl.Series) -> pl.Series:
        """:meth:`value` of each cell of a text column."""
        found = cells.str.extract_groups(self.regex).struct.unnest()
        before, behind = found["before"].fill_null(""), found["behind"].fill_null("")
        signs = [side.str.contains(sign) for side, sign in zip((before, behind), self._signs, strict=True)]
        opened, closed = before.str.contains("(", literal=True), behind.str.contains(")", literal=True)
        digits = found["digits"].str.replace_all(self._separator, "")
        size = (digits + "." + found["fraction"].fill_null("0")).cast(pl.Float64, strict=False)
        minuses = signs[0].cast(pl.UInt8) + signs[1].cast(pl.UInt8) + opened.cast(pl.UInt8)
        signed = size * (1.0 - 2.0 * minuses.cast(pl.Float64))
        return signed.set((opened != closed) | (minuses > 1), None).alias(cells.name)

    @cached_property
    def _separator(self) -> str:
        every = {" ": r"[ \t\u00a0\u202f]", "'": r"['\u2019]"}
        return every.get(self.thousands, re.escape(self.thousands or "_"))

    @cached_property
    def _words(self) -> tuple[str, ...]:
        return tuple(text for text in self.negative if text not in (PARENTHESES, BEHIND))

    @cached_property
    def _signs(self) -> tuple[str, str]:
        """What makes a number negative, before and behind it."""
        words = [re.escape(text) for text in self._words]
        return "|".join([_MINUS, *words]), "|".join([_MINUS, *words])

    @cached_property
    def regex(self) -> str:
        """The whole text: what stands before the digits, they, the fraction, what stands behind."""
        beside = [re.escape(text) for text in sorted((*self.marks, *self._words), key=len, reverse=True)]
        before = "|".join([*beside, _MINUS, r"\+", *([r"\("] if PARENTHESES in self.negative else [])])
        behind = "|".join(
            [
                *beside,
                *([_MINUS] if BEHIND in self.negative else []),
                *([r"\)"] if PARENTHESES in self.negative else []),
            ]
        )
        grouped = (
            rf"[0-9]{{1,3}}(?:{self._separator}[0-9]{{2,3}})*{self._separator}[0-9]{{3}}|" if self.thousands else ""
        )
        point = re.escape(self.decimal)
        return (
            rf"^{_BLANK}(?P<before>(?:(?:{before}){_BLANK}){{0,3}})"
            rf"(?P<digits>{grouped}[0-9]{{1,30}})(?:{point}(?P<fraction>[0-9]{{1,30}}))?"
            rf"{_BLANK}(?P<behind>" + (rf"(?:(?:{behind}){_BLANK}){{0,3}}" if behind else "") + r")$"
        )
