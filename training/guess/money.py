"""How amounts of money are written in a column of text, found by trying the very reader that will read them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from models.forms.numbers import BEHIND, PARENTHESES, NumberForm

#: Signs and codes that stand before or after an amount.
_SYMBOL = re.compile(r"US\$|[$€£¥₹₽₩₺₴฿円元]|[A-Z]{3}|kr\.?|zł|Fr\.?|Rs\.?")
#: Decimal marks, each with what may stand between thousands. 1,234 alone is a thousand: that reading is tried first.
_MARKS = ((".", ","), (",", "."), (",", " "), (".", " "), (".", "'"), (",", "'"))
_PLAIN = r"^-?[0-9]+(?:\.[0-9]+)?$"
_CODES = {"$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "₹": "INR", "₩": "KRW", "zł": "PLN", "円": "JPY"}


@dataclass(frozen=True)
class Money:
    """A way of writing amounts.

    Attributes:
        form: as a profile says it.
        negative: whether some amounts are below zero, however that is written.
        plain: whether the cells are numbers as they stand.
    """

    form: NumberForm
    negative: bool
    plain: bool

    @property
    def symbol(self) -> str:
        """The sign or code of the currency beside the amounts; empty where there is none."""
        return next(iter(self.form.marks), "")

    @property
    def currency(self) -> str:
        """The code of the currency, where its sign tells it."""
        return _CODES.get(self.symbol, self.symbol if re.fullmatch("[A-Z]{3}", self.symbol) else "")


def find_money(cells: pl.Series) -> Money | None:
    """The one way in which all cells are written; None where some are no amounts or ways are mixed."""
    if len(cells) == 0:
        return None
    if cells.str.contains(_PLAIN).all():
        return Money(NumberForm(), bool(cells.str.starts_with("-").any()), plain=True)
    values = cells.unique()
    symbols = {match[0] for value in values if (match := _SYMBOL.search(value))}
    if len(symbols) > 1:
        return None
    for decimal, thousands in _MARKS:
        form = NumberForm(decimal, thousands, tuple(symbols), (PARENTHESES, BEHIND))
        found = form.column(values)
        if found.has_nulls():
            continue
        below = bool((found < 0).any())
        alone = NumberForm(decimal, "", form.marks, form.negative)
        if not alone.column(values).has_nulls():  # nothing stands between thousands
            form = alone
        return Money(form if below else NumberForm(form.decimal, form.thousands, form.marks), below, plain=False)
    return None
