"""How amounts of money are written in a column of text."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

#: Signs and codes that stand before or after an amount.
_CURRENCY = r"(?:[$€£¥₹₽₩₺₴฿]|US\$|[A-Z]{3}|kr|zł|Fr\.?)"
_SPACE = r"[\s\u00a0\u202f]*"
_DIGITS = r"[0-9][0-9.,'’\u00a0\u202f ]*[0-9]|[0-9]"
_SIGN = rf"[-+−]?{_SPACE}"
_MARK = rf"{_CURRENCY}?{_SPACE}"
_MONEY = rf"^{_SPACE}(?:\({_SPACE})?{_SIGN}{_MARK}{_SIGN}(?:{_DIGITS}){_SPACE}{_MARK}-?\)?{_SPACE}$"
#: Decimal marks, each with what may stand between thousands.
_MARKS = ((".", ","), (",", r"\."), (",", r"[ \u00a0\u202f]"), (".", r"[ \u00a0\u202f]"), (".", "['’]"), (",", "['’]"))
_CORE = re.compile(_DIGITS)
_SYMBOL = re.compile(_CURRENCY)
_CODES = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW", "zł": "PLN"}


@dataclass(frozen=True)
class Money:
    """A way of writing amounts.

    Attributes:
        decimal: the decimal mark.
        thousands: the mark between groups of three digits; empty where there is none.
        symbol: the sign or code of the currency beside the amounts; empty where there is none.
        negative: whether some amounts are below zero, however that is written.
        plain: whether the cells are numbers as they stand.
    """

    decimal: str
    thousands: str
    symbol: str
    negative: bool
    plain: bool

    @property
    def currency(self) -> str:
        """The code of the currency, where its sign tells it."""
        return _CODES.get(self.symbol, self.symbol if re.fullmatch("[A-Z]{3}", self.symbol) else "")


def find_money(cells: pl.Series) -> Money | None:
    """The one way in which all cells are written; None where some are no amounts or ways are mixed."""
    if len(cells) == 0 or not cells.str.contains(_MONEY).all():
        return None
    negative = bool(cells.str.contains(r"[-−(]").any())
    if cells.str.contains(r"^-?[0-9]+(?:\.[0-9]+)?$").all():
        return Money(".", "", "", negative, plain=True)
    values = cells.unique().to_list()
    symbols = {match[0] for value in values if (match := _SYMBOL.search(value))}
    if len(symbols) > 1:
        return None
    marks = _marks([match[0] for value in values if (match := _CORE.search(value))])
    return None if marks is None else Money(*marks, next(iter(symbols), ""), negative, plain=False)


def _marks(cores: list[str]) -> tuple[str, str] | None:
    """The decimal mark and the mark of thousands that all numbers agree with.

    1,234 alone may be a thousand or one and a bit: where three digits stand behind every mark, thousands are meant.
    """
    for decimal, between in _MARKS:
        mark = re.escape(decimal)
        form = re.compile(rf"(?:[0-9]{{1,3}}(?:{between}[0-9]{{3}})*|[0-9]+)(?:{mark}[0-9]+)?")
        if all(form.fullmatch(core) for core in cores):
            found = (match[0] for core in cores if (match := re.search(between, core)))
            return decimal, next(found, "")
    return None
