"""The request model of the model version that serves: JSON bodies in, checked columns out, by the version's schema.

A validated transaction is its values by column name: times in microseconds, missing numbers NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, WrapValidator

from app.problems import Refused, refused
from app.requests.names import load_pairs, odd_names, refuse_nesting
from app.requests.nested import flat_many, flat_one, nested_in
from app.requests.strict_object import MOST_NESTED, Row, named, object_type, validated
from app.requests.transaction_fields import TransactionFields
from models.schema import CategoricalColumn, Column, NumericColumn, TimestampColumn, TransactionSchema

_OUTER = ("transactions",)


class RequestModel:
    """Reads the JSON bodies of one schema, strictly.

    Args:
        schema: the columns.
        max_batch: most transactions in one batch.

    Attributes:
        transaction: JSON Schema of one transaction.
    """

    def __init__(self, schema: TransactionSchema, max_batch: int) -> None:
        self._max_batch = max_batch
        self._inputs = schema.inputs
        self._fields = fields = TransactionFields(schema)
        self._known = (*fields.required, *fields.optional)
        self._nested = nested_in(self._known)
        row: Any = object_type("Transaction", fields.types)
        rows = Annotated[list[Annotated[row, WrapValidator(_row_or_error)]], Field(max_length=max_batch)]
        self._one = TypeAdapter(row)
        self._validate = self._one.validator.validate_json
        self._many = TypeAdapter(object_type("Transactions", {"transactions": rows}))
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
        # Every name and every text takes two quotation marks. With as few as there can be, no name is left to be
        # unknown or there twice; with one bracket none is nested.
        if body.count(b'"') == self._fewest_quotes and body.count(b"{") + body.count(b"[") == 1:
            try:
                row: Row = self._validate(body)
            except ValidationError:
                pass  # what is wrong is told below
            else:
                if len(row) == len(self._inputs):
                    return row
        refuse_nesting(body, MOST_NESTED + self._nested)
        if self._nested:
            body = flat_one(body)
        return self._row(validated(self._one, body), load_pairs(body))

    def many(self, body: bytes) -> list[Row | Refused]:
        """The transactions of a batch in order, an error in place of each that is none.

        Raises:
            Refused: not JSON, not of the form ``{"transactions": [...]}``, or too many.
        """
        refuse_nesting(body, (2 + self._nested) * self._max_batch + MOST_NESTED)
        if self._nested:
            body = flat_many(body)
        outer = validated(self._many, body)
        again = load_pairs(body)
        if isinstance(outer, ValidationError):
            raise refused(outer, {})
        if odd := odd_names(again, _OUTER):
            raise refused(None, odd)
        rows: list[Row | Refused] = []
        for row, value in zip(outer["transactions"], dict(again)["transactions"], strict=True):
            try:
                rows.append(self._row(row, value))
            except Refused as error:
                rows.append(error)
        return rows

    def _row(self, row: Row | ValidationError, value: Any) -> Row:
        fields = named(row, value, self._known, self._fields.optional)
        return fields if self._fields.plain else self._fields.row(fields)


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
