"""The request model of the model version that serves: JSON bodies in, checked columns out, by the version's schema.

A validated transaction is its values by column name: times in microseconds, missing numbers NaN.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import to_json

from app.problems import Refused, refused
from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.requests.asked import Asked
from app.requests.bodies import Wanted
from app.requests.idempotency import Key
from app.requests.names import load_pairs, odd_names, refuse_nesting
from app.requests.strict_object import MOST_NESTED, Row, named, object_type, validated
from app.requests.transaction_fields import TransactionFields
from models.rows import Batch, Vocabulary
from models.schema import (
    CategoricalColumn,
    Column,
    NumericColumn,
    TimestampColumn,
    TransactionSchema,
)

_OUTER = ("transactions",)


class RequestModel:
    """Reads the JSON bodies of one schema, strictly.

    Args:
        schema: the columns.
        vocabulary: the categorical values training knew.
        max_batch: most transactions in one batch.
        pseudonyms: ids that are stored as something else.

    Attributes:
        transaction: JSON Schema of one transaction.
    """

    def __init__(
        self, schema: TransactionSchema, vocabulary: Vocabulary, max_batch: int, pseudonyms: Pseudonyms = NO_PSEUDONYMS
    ) -> None:
        self._schema = schema
        self.pseudonyms = pseudonyms
        self._max_batch = max_batch
        self._inputs = schema.inputs
        self._fields = fields = TransactionFields(schema)
        self._known = (*fields.required, *fields.optional)
        row: Any = object_type("Transaction", fields.types)
        rows = Annotated[list[Annotated[row, WrapValidator(_row_or_error)]], Field(max_length=max_batch)]
        self._one = TypeAdapter(row)
        self._many = TypeAdapter(object_type("Transactions", {"transactions": rows}))
        known = dict(zip(schema.categorical, vocabulary.values, strict=True))
        self._codes = [(name, {v: i for i, v in enumerate(known[name], 1)}) for name in schema.categorical]
        texts = sum(_always_text(schema.columns[name]) for name in schema.inputs)
        self._fewest_quotes = 2 * (len(schema.inputs) + texts) if fields.plain else -1
        self.transaction: dict[str, Any] = {
            "type": "object",
            "title": f"Transaction ({schema.name})",
            "properties": fields.shapes | {name: {"description": "Ignored"} for name in fields.optional},
            "required": list(fields.required),
            "additionalProperties": False,
        }

    def one(self, body: bytes) -> Row:
        """The transaction in a body.

        Raises:
            Refused: not JSON, or not a transaction of the schema.
        """
        refuse_nesting(body, MOST_NESTED)
        row = validated(self._one, body)
        # Every name and every text takes two quotation marks. With as few as there can be, no name is left to be
        # unknown or there twice.
        if isinstance(row, ValidationError) or len(row) < len(self._inputs) or body.count(b'"') != self._fewest_quotes:
            row = self._row(row, load_pairs(body))
        self.pseudonyms.check(row)
        return row

    def many(self, body: bytes) -> list[Row | Refused]:
        """The transactions of a batch in order, an error in place of each that is none.

        Raises:
            Refused: not JSON, not of the form ``{"transactions": [...]}``, or too many.
        """
        refuse_nesting(body, 2 * self._max_batch + MOST_NESTED)
        outer = validated(self._many, body)
        again = load_pairs(body)
        if isinstance(outer, ValidationError):
            raise refused(outer, {})
        if odd := odd_names(again, _OUTER):
            raise refused(None, odd)
        rows: list[Row | Refused] = []
        for row, value in zip(outer["transactions"], dict(again)["transactions"], strict=True):
            try:
                checked = self._row(row, value)
                self.pseudonyms.check(checked)
            except Refused as error:
                rows.append(error)
            else:
                rows.append(checked)
        return rows

    def _row(self, row: Row | ValidationError, value: Any) -> Row:
        fields = named(row, value, self._known, self._fields.optional)
        return fields if self._fields.plain else self._fields.row(fields)

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Validated transactions as the detector takes them, without behaviour features."""
        schema = self._schema
        numeric = [[row[name] for name in schema.sent_numeric] for row in rows]
        codes = [[known.get(row[name] or "", 0) for name, known in self._codes] for row in rows]
        time = [row[schema.timestamp] for row in rows] if schema.timestamp else [0] * len(rows)
        return Batch(
            np.array(numeric, np.float64).reshape(len(rows), len(schema.sent_numeric)),
            np.array(codes, np.int64).reshape(len(rows), len(self._codes)),
            np.array(time, np.int64),
        )

    def asked(self, row: Row, want: Wanted, caller: str | None = None, key: Key | None = None, place: int = 0) -> Asked:
        """A validated transaction that has just arrived, under the ids that are stored.

        Args:
            key: the Idempotency-Key it came with; ``place``: its position in the batch, from 0.
        """
        row = self.pseudonyms.row(row)
        body = to_json({name: row[name] for name in self._inputs}, inf_nan_mode="null")
        return Asked(
            row=row,
            want=want,
            transaction_id=row[self._schema.id] if self._schema.id else None,
            body=body.decode(),
            digest=hashlib.sha256(body).digest(),
            arrived_at=time.time_ns() // 1_000,
            arrived=time.perf_counter(),
            caller=caller,
            idempotency_digest=key.digest(caller, place) if key else None,
        )


def _row_or_error(value: Any, validate: Callable[[Any], Row]) -> Row | ValidationError:
    try:
        return validate(value)
    except ValidationError as error:
        return error


def _always_text(column: Column) -> bool:
    match column:
        case CategoricalColumn():
            return not column.nullable
        case TimestampColumn():
            return column.format in ("iso8601", "iso8601-utc")
        case _:
            return not isinstance(column, NumericColumn)
