"""Rows under a schema: text cells or typed columns in, checked numbers out, each bad row with its cause.

Everything that is scored or trained on passes here or through the API's request model, and both use the
declarations of :mod:`models.schema`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.pan import card_number_rows, contains_card_number
from models.reading.causes import CARD_NUMBER, MISSING, Causes, OnCause
from models.reading.currencies import money_column, read_currencies
from models.reading.labels import read_label_times, read_labels
from models.reading.numbers import Money, read_directions, read_numbers
from models.reading.texts import as_text, read_texts
from models.rows import UNKNOWN, ParsedRows
from models.schema import (
    AmountColumn,
    CategoricalColumn,
    Column,
    CurrencyColumn,
    EntityColumn,
    LabelColumn,
    LabelTimestampColumn,
    NumericColumn,
    ScenarioColumn,
    TextColumn,
    TimestampColumn,
    TransactionSchema,
)
from models.times import LAST_TIME, column_times, expected_time, joined_times


def require_columns(schema: TransactionSchema, present: Iterable[str], *, source: str, label: bool = False) -> None:
    """Check that a table carries every column the schema needs.

    Raises:
        InvalidInput: naming the missing columns and some of those present, or a name looks like a card number.
    """
    have = list(present)
    needed = [*schema.inputs, *([schema.label] if label and schema.label else [])]
    missing = missing_fields(schema.of_table(have), needed, have)
    if missing:
        raise InvalidInput(
            f"{source}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing[:12])}; "
            f"the table has {len(have)}: {shown_names(have)}. "
            "Rename the columns or use a profile that fits the table"
        )
    refuse_card_numbers_as_names(have, source=source)


def missing_fields(schema: TransactionSchema, columns: Iterable[str], present: Iterable[str]) -> list[str]:
    """The fields that some columns of the schema are read from and that a table lacks."""
    have = set(present)
    needed = (field for name in columns for field in schema.columns[name].fields(name))
    return [field for field in dict.fromkeys(needed) if field not in have]


def refuse_card_numbers_as_names(columns: Iterable[str], *, source: str) -> None:
    """Check that the header is one: in a table without it the first row's values become names, and names are told.

    Raises:
        InvalidInput: a name looks like a card number.
    """
    for place, name in enumerate(columns, 1):
        if contains_card_number(name):
            raise InvalidInput(f"{source}: the name of column {place} looks like a card number; is there a header?")


def shown_names(names: list[str]) -> str:
    """The first few column names, for messages; what looks like a card number is withheld."""
    shown = ", ".join(name if not contains_card_number(name) else "(withheld)" for name in names[:12])
    return shown + (", …" if len(names) > 12 else "")


def parse_rows(schema: TransactionSchema, frame: pl.DataFrame, on_cause: OnCause | None = None) -> ParsedRows:
    """Check and convert the columns the schema names; the others are not looked at.

    Text cells (from CSV) and typed columns (from Parquet) obey the same rules. The caller has checked that the
    columns exist (:func:`require_columns`).

    Args:
        on_cause: told every cause of a row, where an error has the first.
    """
    schema = schema.of_table(frame.columns)
    causes = Causes(frame.height, on_cause)
    table = _cells(schema, frame)
    time = _times(schema, table, frame.height)
    micros = time.fill_null(0).to_numpy()
    money = _money(schema, table)
    numeric: list[pl.Series] = []
    text: list[pl.Series] = []
    entity: dict[str, pl.Series] = {}
    label: pl.Series | None = None
    own_id: pl.Series | None = None
    known: NDArray[np.int64] | None = None
    for name, (column, cells) in table.items():
        told = column.told(name)
        match column:
            case NumericColumn():
                of_amount = money if isinstance(column, AmountColumn) else None
                numeric.append(read_numbers(told, column, cells, causes, micros, of_amount))
            case CategoricalColumn(derive="direction"):
                text.append(read_directions(told, column, _amount(schema, table), causes))
            case TextColumn():
                read = read_texts(told, column, cells, causes, schema.key_hasher if name in schema.hashed else None)
                if isinstance(column, CategoricalColumn):
                    text.append(read)
                elif isinstance(column, EntityColumn):
                    entity[name] = read
                else:
                    own_id = read
            case CurrencyColumn():
                read_currencies(told, column, cells[0], causes)
            case TimestampColumn():
                _check_times(told, column, cells, time, causes)
            case LabelColumn():
                label = read_labels(told, column, cells, causes)
            case LabelTimestampColumn():
                known = read_label_times(told, column, cells, causes)
            case ScenarioColumn():
                causes.add_rows(told, card_number_rows(as_text(told, cells[0])), CARD_NUMBER)
    good = ~causes.bad
    keep = pl.Series(good)
    return ParsedRows(
        good=good,
        numeric=np.column_stack([c.to_numpy() for c in numeric])[good] if numeric else np.empty((int(good.sum()), 0)),
        text=tuple(cells.filter(keep) for cells in text),
        entity={name: cells.filter(keep) for name, cells in entity.items()},
        time=micros[good],
        label=None if label is None else label.fill_null(UNKNOWN).to_numpy()[good],
        errors=causes.errors(),
        id=None if own_id is None else own_id.filter(keep),
        known=None if known is None else known[good],
    )


_Table = dict[str, tuple[Column, list[pl.Series]]]


def _cells(schema: TransactionSchema, frame: pl.DataFrame) -> _Table:
    """The columns that the table has, with their fields; those that are only scored lack the label."""
    present = set(frame.columns)
    fields = {name: column.fields(name) for name, column in schema.columns.items() if column.kind != "ignore"}
    return {
        name: (schema.columns[name], [frame[field] for field in those])
        for name, those in fields.items()
        if present.issuperset(those)
    }


def _amount(schema: TransactionSchema, table: _Table) -> tuple[AmountColumn, list[pl.Series]]:
    column, cells = table[schema.amount or ""]
    assert isinstance(column, AmountColumn)
    return column, cells


def _times(schema: TransactionSchema, table: _Table, rows: int) -> pl.Series:
    """Microseconds, null where a cell is no time."""
    if schema.timestamp in table:
        column, cells = table[schema.timestamp]
        if isinstance(column, TimestampColumn):
            return column_times(column.told(schema.timestamp), column, joined_times(column, cells))
    return pl.zeros(rows, dtype=pl.Int64, eager=True)


def _check_times(name: str, column: TimestampColumn, cells: list[pl.Series], time: pl.Series, causes: Causes) -> None:
    for part in cells:
        causes.add(name, part.is_null(), MISSING)
    causes.add(name, time.is_null() | (time < 0) | (time > LAST_TIME), f"expected {expected_time(column)}")


def _money(schema: TransactionSchema, table: _Table) -> Money | None:
    for column, cells in table.values():
        if isinstance(column, CurrencyColumn) and (column.rates or column.digits):
            return money_column(column, _amount(schema, table)[0], cells[0])
    return None
