"""One column of the schema as one field of a JSON transaction: its checks.

Numbers and texts have two checks. The fast one runs inside pydantic-core and accepts only what is surely right; what
it does not accept goes to the exact one here, which accepts and refuses as :mod:`models.parsing` does for a CSV
cell, in the same words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from app.requests.field_schema import DECIMAL
from models.pan import SURELY_NO_CARD, contains_card_number, is_card_number
from models.parsing import CARD_NUMBER, bounds_text
from models.schema import (
    FLOAT32_MAX,
    AmountColumn,
    CategoricalColumn,
    Column,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    NumericColumn,
    TimestampColumn,
)
from models.times import TIME_EXPECTED, parse_time

_DECIMAL_TEXT = re.compile(DECIMAL.removesuffix("$") + r"\Z", re.ASCII)
#: At most twelve digits of any script, so no card number; and no NUL. To pydantic-core \d is any decimal digit.
_SURELY_PLAIN = r"^[^\d\x00]*(?:\d[^\d\x00]*){0,12}$"

_Text = IdColumn | EntityColumn | CategoricalColumn


def field_type(column: Column) -> Any:
    """The column as a type that pydantic validates strictly, without coercion."""
    exact: Callable[[Any], Any]
    match column:
        case NumericColumn():
            fast: Any = Annotated[
                float,
                Field(
                    strict=True,
                    allow_inf_nan=False,
                    ge=max(-SURELY_NO_CARD, _or(column.minimum, -FLOAT32_MAX)),
                    le=min(SURELY_NO_CARD, _or(column.maximum, FLOAT32_MAX)),
                ),
            ]
            exact = _number(column)
        case IdColumn() | EntityColumn() | CategoricalColumn():
            fast = Annotated[str, Field(strict=True, min_length=1, max_length=column.max_length, pattern=_SURELY_PLAIN)]
            exact = _text(column)
        case CurrencyColumn():
            return Annotated[Any, PlainValidator(_currency(column))]
        case TimestampColumn():
            return Annotated[Any, PlainValidator(_time(column))]
        case _:
            raise TypeError(f"a {column.kind} column is never sent for scoring")
    either = fast | Annotated[Any, PlainValidator(exact)]
    return Annotated[either, Field(union_mode="left_to_right")]


def _or(bound: float | None, default: float) -> float:
    return default if bound is None else bound


def _refuse(cause: str) -> PydanticCustomError:
    # The message is a template: braces would be read as placeholders.
    return PydanticCustomError("value", "{cause}", {"cause": cause})


def _number(column: NumericColumn) -> Callable[[Any], float]:
    bounds = f"must be {bounds_text(column)}"

    def check(value: Any) -> float:
        if value is None:
            if column.nullable:
                return math.nan
            raise _refuse("missing value")
        if isinstance(column, AmountColumn) and isinstance(value, str) and _DECIMAL_TEXT.match(value):
            value = float(value) if "." in value else int(value)
        if type(value) not in (int, float):
            raise _refuse("not a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not abs(number) <= FLOAT32_MAX:
            raise _refuse("outside the range of a 32-bit float")
        if is_card_number(value):
            raise _refuse(CARD_NUMBER)
        if number < _or(column.minimum, number) or number > _or(column.maximum, number):
            raise _refuse(bounds)
        return number

    return check


def _text(column: _Text) -> Callable[[Any], str | None]:
    nullable = isinstance(column, CategoricalColumn) and column.nullable

    def check(value: Any) -> str | None:
        if value is None and nullable:
            return None
        if value is None or value == "":
            raise _refuse("missing value")
        if not isinstance(value, str):
            raise _refuse("not a string")
        if len(value) > column.max_length:
            raise _refuse(f"longer than {column.max_length} characters")
        if "\0" in value:
            raise _refuse("holds a NUL character")
        if contains_card_number(value):
            raise _refuse(CARD_NUMBER)
        return value

    return check


def _currency(column: CurrencyColumn) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value != column.code:
            raise _refuse(f"expected {column.code}, the only currency this profile knows")
        return column.code

    return check


def choice_type(*allowed: str) -> Any:
    """One of a few texts, as a type that pydantic validates."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise _refuse("missing value" if value is None else f"expected one of {', '.join(allowed)}")

    return Annotated[Any, PlainValidator(check)]


def _time(column: TimestampColumn) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        try:
            if type(value) is int:
                value = float(value)
            if type(value) in (str, float):
                return parse_time(value, column.format)
        except (ValueError, OverflowError):
            pass
        raise _refuse("missing value" if value is None else f"expected {TIME_EXPECTED[column.format]}")

    return check
