"""The fields of a JSON transaction, and the columns of the schema that they become.

Where every column is in its plain form a field is a column, checked by pydantic. Where the profile declares forms, the
fields are taken as they come and :mod:`models.reading` makes the columns of them, as of a table's.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from app.problems import refused
from app.requests.field_schema import field_shape, json_schema
from app.requests.fields import field_type
from app.requests.strict_object import Row
from models.reading.objects import ObjectReader
from models.schema import TransactionSchema


class TransactionFields:
    """Immutable.

    Args:
        schema: the columns.

    Attributes:
        required: fields that a transaction must have; ``optional``: that it may have, and that are dropped.
        types: how pydantic checks each.
        shapes: each as JSON Schema.
        plain: whether the fields are the columns.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self.required, self.optional = schema.fields, schema.ignored
        self.plain = not (schema.formed or schema.ignored)
        self._reader = ObjectReader(schema) if schema.formed else None
        ignored = dict.fromkeys(schema.ignored, Any)
        if self._reader is None:
            columns = {name: schema.columns[name] for name in schema.inputs}
            self.types: dict[str, Any] = {name: field_type(column) for name, column in columns.items()} | ignored
            self.shapes = {name: json_schema(column) for name, column in columns.items()}
        else:
            self.types = dict.fromkeys(self.required, _SCALAR) | ignored
            readers = [(name, column) for name, column in schema.columns.items() if name in schema.inputs]
            self.shapes = {
                field: next(field_shape(n, column) for n, column in readers if field in column.fields(n))
                for field in self.required
            }

    def row(self, fields: Row) -> Row:
        """The columns of a transaction whose fields have been checked.

        Raises:
            Refused: what cannot be read, by the fields it stands in.
        """
        if self._reader is None:
            return {name: value for name, value in fields.items() if name not in self.optional}
        row, problems = self._reader.read(fields)
        if problems:
            raise refused(None, dict(problems))
        return row


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        raise PydanticCustomError("value", "expected a text, a number, true, false or null")
    return value


_SCALAR = Annotated[Any, PlainValidator(_scalar)]
