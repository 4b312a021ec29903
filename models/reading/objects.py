"""One JSON object's fields as the columns of a schema, as :func:`models.parsing.parse_rows` reads a table's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.reading.causes import Unusable
from models.reading.currencies import money, read_currency
from models.reading.numbers import read_direction, read_number
from models.reading.texts import read_text
from models.reading.times import read_time
from models.schema import (
    AmountColumn,
    CategoricalColumn,
    CurrencyColumn,
    NumericColumn,
    TextColumn,
    TimestampColumn,
    TransactionSchema,
)

#: What the columns were read from, and why that cannot be used.
Problem = tuple[str, str]


class ObjectReader:
    """Reads objects of one schema.

    Args:
        schema: with the forms that the fields have, and with what keys are hashed with.

    Raises:
        InvalidInput: keys are to be hashed, and there is no secret.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        hasher = schema.key_hasher if schema.hashed else None
        self._hashed = dict.fromkeys(schema.hashed, hasher)
        self._columns = [(name, column, column.fields(name)) for name, column in schema.columns.items()]
        self._columns = [entry for entry in self._columns if entry[0] in schema.inputs]
        amount = schema.columns[schema.amount] if schema.amount else None
        self._amount = amount if isinstance(amount, AmountColumn) else None
        self._amount_fields = amount.fields(schema.amount or "") if amount else ()
        self._timestamp = next((entry for entry in self._columns if isinstance(entry[1], TimestampColumn)), None)
        self._currency = next((entry for entry in self._columns if isinstance(entry[1], CurrencyColumn)), None)

    def read(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
        """The columns by name: times in microseconds, missing numbers NaN, missing categories None.

        Args:
            values: JSON scalars by field, every field of the schema among them.

        Returns:
            The columns, and what is wrong with those that are not among them.
        """
        row: dict[str, Any] = {}
        problems: list[Problem] = []
        time = self._time(values)
        for name, column, fields in self._columns:
            given = [values[field] for field in fields]
            try:
                match column:
                    case AmountColumn():
                        row[name] = read_number(column, given, time, self._money(values))
                    case NumericColumn():
                        row[name] = read_number(column, given, time)
                    case CategoricalColumn(derive="direction") if self._amount:
                        row[name] = read_direction(column, self._amount, [values[f] for f in self._amount_fields])
                    case TextColumn():
                        row[name] = read_text(column, given, self._hashed.get(name))
                    case CurrencyColumn():
                        row[name] = read_currency(column, given[0])
                    case TimestampColumn():
                        row[name] = read_time(column, given)
            except Unusable as error:
                problems.append((column.told(name), str(error)))
        return row, problems

    def _time(self, values: Mapping[str, Any]) -> int:
        if self._timestamp is None or not isinstance(self._timestamp[1], TimestampColumn):
            return 0
        try:
            return read_time(self._timestamp[1], [values[field] for field in self._timestamp[2]])
        except Unusable:  # told where the column's turn comes
            return 0

    def _money(self, values: Mapping[str, Any]) -> Any:
        if self._currency is None or self._amount is None or not isinstance(self._currency[1], CurrencyColumn):
            return None
        return money(self._currency[1], self._amount, values[self._currency[2][0]])
