"""An example's columns as the fields of a profile that declares forms: a request that is read back as it is meant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from models.schema import (
    AmountColumn,
    CategoricalColumn,
    CurrencyColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
    TransactionSchema,
)

#: Two places and two dates that nobody lives at or was born on.
_PLACES = ("48.85", "2.35", "48.86", "2.36")
_DATE = datetime(1990, 6, 15, tzinfo=UTC)
_WITHOUT_PADDING = re.compile(r"%-(.)")


def example_fields(schema: TransactionSchema, row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a transaction, given its columns in the plain form; a time as an ISO 8601 text or a number."""
    fields: dict[str, Any] = {}
    for name in schema.inputs:
        column = schema.columns[name]
        for field, value in zip(column.fields(name), _values(column, row[name]), strict=False):
            fields.setdefault(field, value)
    return {field: fields[field] for field in schema.fields}


def _values(column: Any, value: Any) -> list[Any]:
    """What the fields of a column hold."""
    match column:
        case TimestampColumn():
            return _times(column, value)
        case AmountColumn(debit=debit) if debit:
            return [_number(column, value), None]
        case NumericColumn(derive="age" | "days"):
            return [_DATE.strftime(column.format)]
        case NumericColumn(derive="difference"):
            return [_number(column, value), _number(column, 0.0)]
        case NumericColumn(derive="distance"):
            return list(_PLACES) if column.written else [float(part) for part in _PLACES]
        case NumericColumn():
            return [_number(column, value)]
        case CategoricalColumn(derive="direction"):
            return []
        case TextColumn() if len(column.source) > 1:
            return [value] * len(column.source)
        case CurrencyColumn():
            return [column.code]
        case _:
            return [value]


def _number(column: NumericColumn, value: float | None) -> Any:
    if value is None:
        return None
    if isinstance(column, AmountColumn):
        value = round((-value if column.flip else value) * 10**column.scale, 2)
        value = int(value) if column.scale else value
    return str(value).replace(".", column.decimal) if column.written else value


def _times(column: TimestampColumn, value: str | float) -> list[Any]:
    if "%" not in column.format:
        return [value]
    moment = datetime.fromisoformat(str(value)).astimezone(ZoneInfo(column.zone))
    pattern = _WITHOUT_PADDING.sub(r"%\1", column.format)
    if len(column.source) < 2:
        return [moment.strftime(pattern)]
    words, last = pattern.split(), len(column.source) - 1
    return [moment.strftime(part) for part in (*words[:last], " ".join(words[last:]))]
