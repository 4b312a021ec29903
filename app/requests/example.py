"""A transaction for the OpenAPI page and the ready curl line: of the schema, plausible, and nobody's."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from app.requests.example_fields import example_fields
from models.manifest import Golden
from models.rows import Vocabulary
from models.schema import (
    AmountColumn,
    CategoricalColumn,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    NumericColumn,
    TimestampColumn,
    TransactionSchema,
)
from models.times import EXCEL_DAYS

_ID = "a1b2c3"


def example_transaction(schema: TransactionSchema, vocabulary: Vocabulary, golden: Golden) -> dict[str, Any]:
    """The golden row with the smallest error, whose every cell comes from another transaction, as JSON is sent."""
    row = min(range(len(golden.error)), key=golden.error.__getitem__)
    numbers = dict(zip(schema.numeric, golden.numeric[row], strict=True))  # those of behaviour are not sent
    codes = dict(zip(schema.categorical, golden.categorical[row], strict=True))
    known = dict(zip(schema.categorical, vocabulary.values, strict=True))
    body: dict[str, Any] = {}
    for name in schema.inputs:
        match schema.columns[name]:
            case NumericColumn() as column:
                body[name] = _number(column, numbers[name])
            case CategoricalColumn() as column:
                body[name] = _category(column, known[name], codes[name])
            case CurrencyColumn() as column:
                body[name] = column.code
            case TimestampColumn() as column:
                body[name] = _time(column, golden.time[row])
            case IdColumn() | EntityColumn() as column:
                body[name] = _ID[: column.max_length]
    if schema.id:  # another model's example is another transaction
        own = schema.columns[schema.id]
        digest = hashlib.sha256(json.dumps(body).encode()).hexdigest()
        body[schema.id] = f"try-{digest[:8]}"[: own.max_length if isinstance(own, IdColumn) else None]
    return example_fields(schema, body) if schema.formed else body


def _number(column: NumericColumn, value: float | None) -> float | None:
    if value is None:
        if column.nullable:
            return None
        value = 0.0
    value = round(value, 2) if isinstance(column, AmountColumn) else float(f"{value:.6g}")
    value = value if column.minimum is None else max(value, column.minimum)
    return value if column.maximum is None else min(value, column.maximum)


def _category(column: CategoricalColumn, known: tuple[str, ...], code: int) -> str | None:
    value = known[code - 1] if 0 < code <= len(known) else next((value for value in known if value), "other")
    return value[: column.max_length] or None


def _time(column: TimestampColumn, micros: int) -> str | float:
    seconds = max(micros, 0) // 1_000_000
    units = {"elapsed-s": 1, "epoch-s": 1, "epoch-ms": 1_000, "epoch-us": 1_000_000}
    if column.format in units:
        return seconds * units[column.format]
    if column.format == "excel":
        return seconds / 86_400 + EXCEL_DAYS
    if column.format == "steps":
        return (seconds - column.start_micros // 1_000_000) // (column.step_seconds or 1)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text if column.format == "iso8601-utc" else text + "Z"
