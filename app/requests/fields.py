"""One column of the schema as one field of a JSON transaction: its checks.

Numbers and texts in their plain form have two checks. The fast one runs inside pydantic-core and accepts only what is
surely right; what it does not accept goes to the exact one of :mod:`models.reading`, which accepts and refuses as for a
table's cell, in the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError

from models.pan import SURELY_NO_CARD
from models.reading.causes import Unusable
from models.reading.currencies import read_currency
from models.reading.numbers import read_number
from models.reading.texts import read_text
from models.reading.times import read_time
from models.schema import (
    FLOAT32_MAX,
    Column,
    CurrencyColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
)

#: At most twelve digits of any script, so no card number; and no NUL. To pydantic-core \d is any decimal digit.
_SURELY_PLAIN = r"^[^\d\x00]*(?:\d[^\d\x00]*){0,12}$"


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
            exact = _checked(lambda value: read_number(column, [value]))
            plain = not column.formed
        case TextColumn():
            fast = Annotated[str, Field(strict=True, min_length=1, max_length=column.max_length, pattern=_SURELY_PLAIN)]
            exact = _checked(lambda value: read_text(column, [value]))
            plain = not column.formed
        case CurrencyColumn():
            fast, exact, plain = Literal[column.code], _checked(lambda value: read_currency(column, value)), True
        case TimestampColumn():
            return Annotated[Any, PlainValidator(_checked(lambda value: read_time(column, [value])))]
        case _:
            raise TypeError(f"a {column.kind} column is never sent for scoring")
    slow = Annotated[Any, PlainValidator(exact)]
    return Annotated[fast | slow, Field(union_mode="left_to_right")] if plain else slow


def _or(bound: float | None, default: float) -> float:
    return default if bound is None else bound


def _refuse(cause: str) -> PydanticCustomError:
    # The message is a template: braces would be read as placeholders.
    return PydanticCustomError("value", "{cause}", {"cause": cause})


def _checked(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader of :mod:`models.reading` as pydantic calls it."""

    def check(value: Any) -> Any:
        try:
            return read(value)
        except Unusable as error:
            raise _refuse(str(error)) from None

    return check


def choice_type(*allowed: str) -> Any:
    """One of a few texts, as a type that pydantic validates."""

    def check(value: Any) -> str:
        if isinstance(value, str) and value in allowed:
            return value
        raise _refuse("missing value" if value is None else f"expected one of {', '.join(allowed)}")

    return Annotated[Any, PlainValidator(check)]
