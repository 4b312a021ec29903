"""One column of the schema as JSON Schema, for the OpenAPI page."""

from __future__ import annotations

from typing import Any

from models.schema import (
    FLOAT32_MAX,
    AmountColumn,
    CategoricalColumn,
    Column,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
)
from models.times import expected_time

#: A text.
NO_NUL = r"^[^\u0000]*$"

#: A time, or so long ago.
TIME: dict[str, Any] = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": r"^[0-9]{1,6}[smhd]$"}],
    "examples": ["2026-01-31T08:15:00Z", "7d"],
}


def json_schema(column: Column) -> dict[str, Any]:
    """The column as JSON Schema, for the OpenAPI page."""
    shape: dict[str, Any]
    match column:
        case NumericColumn():
            bounds = {
                "minimum": -FLOAT32_MAX if column.minimum is None else column.minimum,
                "maximum": FLOAT32_MAX if column.maximum is None else column.maximum,
            }
            forms: list[dict[str, Any]] = [{"type": "number", **bounds}]
            if isinstance(column, AmountColumn):
                forms.append({"type": "string", "pattern": _decimal(column)})
            if column.nullable:
                forms.append({"type": "null"})
            shape = forms[0] if len(forms) == 1 else {"anyOf": forms}
        case IdColumn() | EntityColumn() | CategoricalColumn():
            nullable = isinstance(column, CategoricalColumn) and column.nullable
            kind = ["string", "null"] if nullable else "string"
            shape = {"type": kind, "minLength": 1, "maxLength": column.max_length, "pattern": NO_NUL}
        case CurrencyColumn():
            shape = {"type": "string", "const": column.code}
        case TimestampColumn():
            text = {"type": "string", "format": "date-time"}
            number = {"type": "number", "minimum": 0}
            shapes: dict[str, dict[str, Any]] = {
                "iso8601": text,
                "iso8601-utc": {"type": "string"},
                "elapsed-s": number,
            }
            shape = shapes.get(column.format, {"anyOf": [number, text]})
        case _:
            shape = {}
    return {**shape, "description": _description(column)}


def field_shape(name: str, column: Column) -> dict[str, Any]:
    """One of the fields that a column with a form of its own is read from, as JSON Schema."""
    plain = json_schema(column) if column.fields(name) == (name,) and not column.formed else None
    if plain is not None:
        return plain
    kinds = ["string", "number"]
    match column:
        case NumericColumn():
            text = column.written or column.missing or column.dated or isinstance(column, AmountColumn)
            kinds = ["number", "string"] if text else ["number"]
        case TextColumn():
            kinds = ["string", "integer", "number", "boolean"] if column.any_type else ["string"]
        case CurrencyColumn():
            kinds = ["string", "integer"] if column.code.isdecimal() else ["string"]
    nullable = getattr(column, "nullable", False) or getattr(column, "debit", "")
    return {"type": [*kinds, "null"] if nullable else kinds, "description": _description(column) or f"Read as {name}"}


def _decimal(column: AmountColumn) -> str:
    """Of an amount as text: the digits that are within the bounds whatever they are."""
    sign = "" if column.minimum is not None and column.minimum >= 0 else "-?"
    bounds = [abs(bound) for bound in (column.minimum, column.maximum) if bound]
    digits = min([15, *(max(1, len(str(int(bound))) - 1) for bound in bounds)])
    return rf"^{sign}\d{{1,{digits}}}(\.\d{{1,8}})?$"


def _description(column: Column) -> str:
    expected = ""
    if isinstance(column, NumericColumn) and column.unit:
        expected = f"in {column.unit}"
    elif isinstance(column, TimestampColumn):
        expected = expected_time(column)
    return ". ".join(part for part in (column.description.rstrip("."), expected) if part)
