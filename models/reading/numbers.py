"""Numbers, amounts, and what is computed from other fields."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.behaviour.distance import kilometres, kilometres_columns
from models.errors import InvalidInput
from models.forms.numbers import NumberForm
from models.forms.texts import text_column, text_of
from models.forms.time_patterns import DAY
from models.pan import SURELY_NO_CARD, contains_card_number, is_card_number
from models.reading.causes import (
    CARD_NUMBER,
    MISSING,
    NO_DATE,
    NO_PLACE,
    NOT_A_NUMBER,
    OUTSIDE_FLOAT32,
    Causes,
    Unusable,
    bounds_text,
)
from models.reading.plain_numbers import plain_numbers
from models.schema import FLOAT32_MAX, AmountColumn, CategoricalColumn, NumericColumn
from models.times import pattern_time, pattern_times

_LARGEST_PAN = 10**19
#: An amount as text in JSON.
DECIMAL = r"^-?\d{1,15}(\.\d{1,8})?$"
_DECIMAL_TEXT = re.compile(DECIMAL.removesuffix("$") + r"\Z", re.ASCII)
#: By whether an amount is below zero.
DIRECTIONS = ("payment", "refund")
_UNIT = {"age": 365.25 * DAY, "days": float(DAY)}
_BOUNDS = (90.0, 180.0, 90.0, 180.0)


@dataclass(frozen=True)
class Money:
    """What the currency of each row makes of its amount.

    Attributes:
        units: how many make one: 100 for cents. A number, or float64 [rows].
        rate: worth of one in the profile's currency. Likewise.
    """

    units: Any
    rate: Any


@lru_cache(maxsize=1_024)
def _form(column: NumericColumn) -> NumberForm:
    return NumberForm(column.decimal, column.thousands, column.marks, column.negative)


def read_numbers(
    name: str,
    column: NumericColumn,
    cells: Sequence[pl.Series],
    causes: Causes,
    time: NDArray[np.int64],
    money: Money | None = None,
) -> pl.Series:
    """The column's number in each row, NaN where it is missing.

    Args:
        time: of the payments, in microseconds.
        money: of amounts, where the currency matters.
    """
    plain = plain_numbers(column, cells, converted=money is not None)
    if plain is not None:
        return pl.Series(plain)
    if column.dated:
        values = _ages(name, column, cells[0], causes, time)
    else:
        parts = [_plain_numbers(name, column, part, causes) for part in cells]
        match column:
            case NumericColumn(derive="difference"):
                values = parts[0] - parts[1]
            case NumericColumn(derive="distance"):
                for part, bound in zip(parts, _BOUNDS, strict=True):
                    causes.add(name, part.abs() > bound, NO_PLACE)
                values = kilometres_columns(parts)
            case AmountColumn(debit=debit) if debit:
                both = parts[0].is_null() & parts[1].is_null()
                values = (parts[0].abs().fill_null(0.0) - parts[1].abs().fill_null(0.0)).set(both, None)
            case _:
                values = parts[0]
    if isinstance(column, AmountColumn):
        values = _converted_column(column, values, money)
    if not column.nullable:
        causes.add(name, values.is_null(), MISSING)
    causes.add(name, values.abs() > FLOAT32_MAX, OUTSIDE_FLOAT32)
    outside = pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)
    if column.minimum is not None:
        outside |= values < column.minimum
    if column.maximum is not None:
        outside |= values > column.maximum
    causes.add(name, outside, f"must be {bounds_text(column)}")
    return values.fill_null(float("nan"))


def read_number(column: NumericColumn, given: Sequence[Any], time: int = 0, money: Money | None = None) -> float:
    """The column's number, given the JSON value of each field; NaN where it may be missing.

    Raises:
        Unusable: it is no such number.
    """
    number: float | None
    if column.dated:
        number = _age(column, given[0], time)
    else:
        parts = [_plain_number(column, value) for value in given]
        number = _computed(column, parts)
    if number is None:
        if not column.nullable:
            raise Unusable(MISSING)
        return math.nan
    if isinstance(column, AmountColumn):
        number = _converted(column, number, money)
    if not abs(number) <= FLOAT32_MAX:
        raise Unusable(OUTSIDE_FLOAT32)
    low, high = column.minimum, column.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise Unusable(f"must be {bounds_text(column)}")
    return number


def read_directions(
    name: str, column: CategoricalColumn, amount: tuple[AmountColumn, Sequence[pl.Series]], causes: Causes
) -> pl.Series:
    """``refund`` or ``payment`` in each row, by the sign of the amount; null where it has none."""
    signed, cells = amount
    rows = len(cells[0])
    values = read_numbers(name, _signed(signed), cells, Causes(rows), np.zeros(rows, np.int64)).fill_nan(None)
    if not column.nullable:
        causes.add(name, values.is_null(), MISSING)
    below = (values < 0).cast(pl.Int8)
    return below.replace_strict([0, 1], list(DIRECTIONS), return_dtype=pl.String)


def read_direction(column: CategoricalColumn, amount: AmountColumn, given: Sequence[Any]) -> str | None:
    """:func:`read_directions` of the JSON values of the amount's fields.

    Raises:
        Unusable: there is no amount, and must be one.
    """
    number = read_number(_signed(amount), given)
    if math.isnan(number):
        if not column.nullable:
            raise Unusable(MISSING)
        return None
    return DIRECTIONS[number < 0]


@lru_cache(maxsize=256)
def _signed(amount: AmountColumn) -> AmountColumn:
    return amount.model_copy(update={"absolute": False, "minimum": None, "maximum": None, "nullable": True})


def _computed(column: NumericColumn, parts: Sequence[float | None]) -> float | None:
    if isinstance(column, AmountColumn) and column.debit:
        debit, credit = parts
        return None if debit is None and credit is None else abs(debit or 0.0) - abs(credit or 0.0)
    present = [part for part in parts if part is not None]
    if len(present) < len(parts):
        return None
    if column.derive == "difference":
        return present[0] - present[1]
    if column.derive == "distance":
        if any(abs(part) > bound for part, bound in zip(present, _BOUNDS, strict=True)):
            raise Unusable(NO_PLACE)
        return kilometres(present)
    return present[0]


def _plain_numbers(name: str, column: NumericColumn, cells: pl.Series, causes: Causes) -> pl.Series:
    """The numbers of one field, null where there is none."""
    if not (cells.dtype.is_numeric() or cells.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise InvalidInput(f"column {name}: expected numbers, the table holds {cells.dtype}")
    if cells.dtype == pl.String and (column.written or column.missing):
        stripped = cells.str.strip_chars(" \t\u00a0\u202f")
        stripped = stripped.set(stripped.is_in(["", *column.missing]).fill_null(False), None)
        values = _form(column).column(stripped) if column.written else stripped.cast(pl.Float64, strict=False)
        causes.add(name, values.is_null() & stripped.is_not_null(), NOT_A_NUMBER)
    else:
        values = cells.cast(pl.Float64, strict=False)
        if cells.dtype == pl.String and values.null_count() > cells.null_count():
            stripped = cells.str.strip_chars()
            values = stripped.cast(pl.Float64, strict=False)
            causes.add(name, values.is_null() & (stripped != ""), NOT_A_NUMBER)
    values = values.fill_nan(None)
    for number in _missing_numbers(column):
        values = values.set(values == number, None)
    suspects = ((values.abs() > SURELY_NO_CARD) & (values.abs() < _LARGEST_PAN)).fill_null(False).arg_true()
    cards = [row for row in suspects if is_card_number(values[row]) or contains_card_number(str(cells[row]))]
    causes.add_rows(name, cards, CARD_NUMBER)
    return values


def _plain_number(column: NumericColumn, value: Any) -> float | None:
    """The number in one JSON value."""
    number: float | int | None
    if value is None:
        return None
    if isinstance(value, str):
        stripped = value.strip(" \t\u00a0\u202f")
        if (column.written or column.missing) and stripped in ("", *column.missing):
            return None
        if column.written:
            number = _form(column).value(stripped)
        elif isinstance(column, AmountColumn) and _DECIMAL_TEXT.match(value):
            number = float(value) if "." in value else int(value)
        else:
            number = None
    else:
        number = value if type(value) in (int, float) else None
    if number is None:
        raise Unusable(NOT_A_NUMBER)
    try:
        as_float = float(number)
    except OverflowError:
        as_float = math.inf
    if not abs(as_float) <= FLOAT32_MAX:
        raise Unusable(OUTSIDE_FLOAT32)
    if as_float in _missing_numbers(column):
        return None
    if is_card_number(number) or (column.written and isinstance(value, str) and contains_card_number(value)):
        raise Unusable(CARD_NUMBER)
    return as_float


@lru_cache(maxsize=1_024)
def _missing_numbers(column: NumericColumn) -> tuple[float, ...]:
    found = []
    for text in column.missing:
        try:
            found.append(float(text))
        except ValueError:
            continue
    return tuple(number for number in found if math.isfinite(number))


def _ages(name: str, column: NumericColumn, cells: pl.Series, causes: Causes, time: NDArray[np.int64]) -> pl.Series:
    if cells.dtype == pl.Null:
        return cells.cast(pl.Float64)
    cells = cells if cells.dtype.is_temporal() else text_column(cells)
    if cells.dtype == pl.String:
        cells = cells.set(cells.is_in(["", *column.missing]).fill_null(False), None)
    micros = pattern_times(column.format, column.zone, None, cells)
    causes.add(name, micros.is_null() & cells.is_not_null(), NO_DATE)
    passed = pl.Series((time - micros.fill_null(0).to_numpy()) / _UNIT[column.derive or ""])
    return passed.set(micros.is_null(), None)


def _age(column: NumericColumn, value: Any, time: int) -> float | None:
    if value is None or (isinstance(value, str) and value in ("", *column.missing)):
        return None
    if type(value) not in (int, float, str):
        raise Unusable(NO_DATE)
    try:
        micros = pattern_time(column.format, column.zone, None, text_of(value))
    except ValueError:
        raise Unusable(NO_DATE) from None
    return float(time - micros) / _UNIT[column.derive or ""]


def _converted_column(column: AmountColumn, values: pl.Series, money: Money | None) -> pl.Series:
    if not (column.formed or money):
        return values
    # Not in Polars, which multiplies by the reciprocal where a division by one number is asked for.
    units = values.fill_null(float("nan")).to_numpy() / (10.0**column.scale if money is None else money.units)
    if column.flip:
        units = 0.0 - units
    if column.absolute:
        units = np.abs(units)
    return pl.Series(units if money is None else units * money.rate).fill_nan(None)


def _converted(column: AmountColumn, number: float, money: Money | None) -> float:
    number /= 10.0**column.scale if money is None else money.units
    if column.flip:
        number = 0.0 - number
    if column.absolute:
        number = abs(number)
    return number if money is None else number * money.rate
