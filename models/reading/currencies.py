"""The currency of a row, and what it makes of the amount."""

from __future__ import annotations

from typing import Any

import polars as pl

from models.reading.causes import Causes, Unusable, expected_currency
from models.reading.numbers import Money
from models.reading.texts import as_text
from models.schema import AmountColumn, CurrencyColumn


def read_currencies(name: str, column: CurrencyColumn, cells: pl.Series, causes: Causes) -> None:
    """Refuse the rows of unknown currencies."""
    text = as_text(name, cells)
    known = text.is_in([column.code, *column.rates])
    causes.add(name, cells.is_null() | ~known, expected_currency(column))


def read_currency(column: CurrencyColumn, value: Any) -> str:
    """The currency that the amount is in once it is read.

    Raises:
        Unusable: an unknown currency.
    """
    if type(value) is int and column.code.isdecimal():
        value = f"{value:03}"
    if not isinstance(value, str) or value not in (column.code, *column.rates):
        raise Unusable(expected_currency(column))
    return column.code


def money_column(currency: CurrencyColumn, amount: AmountColumn, cells: pl.Series) -> Money | None:
    """What the currencies of a table's rows make of their amounts, None where that is the same for all."""
    if not (currency.rates or currency.digits):
        return None
    known = [currency.code, *currency.rates]
    both = {code: _money(currency, amount, code) for code in known}
    text = as_text("", cells).fill_null("")
    keys = pl.Series(known, dtype=pl.String)

    def each(numbers: list[float]) -> Any:
        values = pl.Series(numbers, dtype=pl.Float64)
        return text.replace_strict(keys, values, default=1.0, return_dtype=pl.Float64).to_numpy()

    return Money(each([both[code].units for code in known]), each([both[code].rate for code in known]))


def money(currency: CurrencyColumn, amount: AmountColumn, value: Any) -> Money | None:
    """What a transaction's currency makes of its amount."""
    if not (currency.rates or currency.digits) or not isinstance(value, str):
        return None
    return _money(currency, amount, value)


def _money(currency: CurrencyColumn, amount: AmountColumn, code: str) -> Money:
    return Money(10.0 ** currency.digits.get(code, amount.scale), currency.rates.get(code, 1.0))
