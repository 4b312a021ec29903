"""The request model of the model version that serves: JSON bodies in, checked columns out, by the version's schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, cast

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, WrapValidator, with_config
from typing_extensions import TypedDict

from app.field_schema import json_schema
from app.fields import field_type
from app.names import load_pairs, odd_names, refuse_nesting
from app.problems import Refused, is_json_error, refused
from models.rows import Batch, Vocabulary
from models.schema import (
    CategoricalColumn,
    Column,
    NumericColumn,
    TimestampColumn,
    TransactionSchema,
)

#: A validated transaction: value by column name; times are microseconds, missing numbers NaN.
Row = Mapping[str, Any]


_OUTER = ("transactions",)
#: Objects and arrays tolerated beyond those of a right body, so that a wrong one is still told which field is wrong.
_MOST_NESTED = 64


class RequestModel:
    """Reads the JSON bodies of one schema, strictly.

    Args:
        schema: the columns.
        vocabulary: the categorical values training knew.
        max_batch: most transactions in one batch.

    Attributes:
        transaction: JSON Schema of one transaction.
    """

    def __init__(self, schema: TransactionSchema, vocabulary: Vocabulary, max_batch: int) -> None:
        self._schema = schema
        self._max_batch = max_batch
        self._inputs = inputs = {name: schema.columns[name] for name in schema.inputs}
        row: Any = _object("Transaction", {name: field_type(column) for name, column in inputs.items()})
        rows = Annotated[list[Annotated[row, WrapValidator(_row_or_error)]], Field(max_length=max_batch)]
        self._one = TypeAdapter(row)
        self._many = TypeAdapter(_object("Transactions", {"transactions": rows}))
        known = dict(zip(schema.categorical, vocabulary.values, strict=True))
        self._codes = [(name, {v: i for i, v in enumerate(known[name], 1)}) for name in schema.categorical]
        texts = sum(_always_text(column) for column in inputs.values())
        self._fewest_quotes = 2 * (len(inputs) + texts)
        self.transaction: dict[str, Any] = {
            "type": "object",
            "title": f"Transaction ({schema.name})",
            "properties": {name: json_schema(column) for name, column in inputs.items()},
            "required": list(inputs),
            "additionalProperties": False,
        }

    def one(self, body: bytes) -> Row:
        """The transaction in a body.

        Raises:
            Refused: not JSON, or not a transaction of the schema.
        """
        refuse_nesting(body, _MOST_NESTED)
        row = _validated(self._one, body)
        # Every name and every text takes two quotation marks. With as few as there can be, no name is left to be
        # unknown or there twice.
        if isinstance(row, ValidationError) or len(row) < len(self._inputs) or body.count(b'"') != self._fewest_quotes:
            return self._named(row, load_pairs(body))
        return row

    def many(self, body: bytes) -> list[Row | Refused]:
        """The transactions of a batch in order, an error in place of each that is none.

        Raises:
            Refused: not JSON, not of the form ``{"transactions": [...]}``, or too many.
        """
        refuse_nesting(body, 2 * self._max_batch + _MOST_NESTED)
        outer = _validated(self._many, body)
        if isinstance(outer, ValidationError):
            raise refused(outer, {})
        again = load_pairs(body)
        if odd := odd_names(again, _OUTER):
            raise refused(None, odd)
        rows: list[Row | Refused] = []
        for row, value in zip(outer["transactions"], dict(again)["transactions"], strict=True):
            try:
                rows.append(self._named(row, value))
            except Refused as error:
                rows.append(error)
        return rows

    def _named(self, row: Row | ValidationError, value: Any) -> Row:
        odd = odd_names(value, self._inputs)
        if odd or isinstance(row, ValidationError):
            raise refused(row if isinstance(row, ValidationError) else None, odd)
        return row

    def batch(self, rows: Sequence[Row]) -> Batch:
        """Validated transactions as the detector takes them."""
        schema = self._schema
        numeric = [[row[name] for name in schema.numeric] for row in rows]
        codes = [[known.get(row[name] or "", 0) for name, known in self._codes] for row in rows]
        time = [row[schema.timestamp] for row in rows] if schema.timestamp else [0] * len(rows)
        return Batch(
            np.array(numeric, np.float64).reshape(len(rows), len(schema.numeric)),
            np.array(codes, np.int64).reshape(len(rows), len(self._codes)),
            np.array(time, np.int64),
        )

    def transaction_id(self, row: Row) -> str | None:
        """The transaction's own id, None where the schema has none."""
        return row[self._schema.id] if self._schema.id else None


def _object(name: str, fields: dict[str, Any]) -> Any:
    # A TypedDict may have fields of any name, so that columns need not be Python identifiers. It leaves the names
    # themselves alone: pydantic-core would copy the whole body into the error of each missing or unknown one.
    kind = cast(Any, TypedDict)(name, fields, total=False)
    return with_config(ConfigDict(extra="ignore"))(kind)


def _validated(adapter: TypeAdapter[Any], body: bytes) -> Row | ValidationError:
    try:
        row: Row = adapter.validator.validate_json(body)
    except ValidationError as error:
        if is_json_error(error):
            raise refused(error, {}) from None
        return error
    return row


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
