"""Rows under a schema: text cells or typed columns in, checked numbers out, each bad row with its cause.

Everything that is scored or trained on passes here or through the API's request model, and both use the
declarations of :mod:`models.schema`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from models.errors import InvalidInput
from models.pan import SURELY_NO_CARD, card_number_rows, contains_card_number, is_card_number
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, ParsedRows, RowError
from models.schema import (
    FLOAT32_MAX,
    CategoricalColumn,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    LabelColumn,
    NumericColumn,
    ScenarioColumn,
    TimestampColumn,
    TransactionSchema,
)
from models.times import LAST_TIME, TIME_EXPECTED, column_times

#: The cause where a cell holds a card number.
CARD_NUMBER = "looks like a card number; send a pseudonymous id instead"
_LARGEST_PAN = 10**19


def bounds_text(column: NumericColumn) -> str:
    """The bounds a numeric column declares, for messages."""
    low = "" if column.minimum is None else f"at least {column.minimum:g}"
    high = "" if column.maximum is None else f"at most {column.maximum:g}"
    return " and ".join(part for part in (low, high) if part)


class _Causes:
    """The first cause per row, filled column by column."""

    def __init__(self, rows: int) -> None:
        self._first: dict[int, RowError] = {}
        self.bad = np.zeros(rows, dtype=bool)

    def add(self, column: str, bad: pl.Series, cause: str) -> None:
        mask = bad.fill_null(False).to_numpy()
        if not mask.any():
            return
        for row in np.flatnonzero(mask & ~self.bad):
            self._first[int(row)] = RowError(int(row), column, cause)
        self.bad |= mask

    def errors(self) -> tuple[RowError, ...]:
        return tuple(self._first[row] for row in sorted(self._first))


def require_columns(schema: TransactionSchema, present: Iterable[str], *, source: str, label: bool = False) -> None:
    """Check that a table carries every column the schema needs.

    Raises:
        InvalidInput: naming the missing columns and some of those present, or a name looks like a card number.
    """
    have = list(present)
    needed = [*schema.inputs, *([schema.label] if label and schema.label else [])]
    missing = [name for name in needed if name not in have]
    if missing:
        raise InvalidInput(
            f"{source}: missing column{'s' if len(missing) > 1 else ''} {', '.join(missing[:12])}; "
            f"the table has {len(have)}: {shown_names(have)}. "
            "Rename the columns or use a profile that fits the table"
        )
    refuse_card_numbers_as_names(have, source=source)


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


def parse_rows(schema: TransactionSchema, frame: pl.DataFrame) -> ParsedRows:
    """Check and convert the columns the schema names; the others are not looked at.

    Text cells (from CSV) and typed columns (from Parquet) obey the same rules. The caller has checked that the
    columns exist (:func:`require_columns`).
    """
    causes = _Causes(frame.height)
    numeric: list[pl.Series] = []
    text: list[pl.Series] = []
    entity: dict[str, pl.Series] = {}
    time = pl.zeros(frame.height, dtype=pl.Int64, eager=True)
    label: pl.Series | None = None
    for name, column in schema.columns.items():
        if name not in frame.columns:
            continue  # label or scenario, absent from tables that are only scored
        cells = frame[name]
        match column:
            case NumericColumn():
                numeric.append(_numbers(name, column, cells, causes))
            case CategoricalColumn() | IdColumn() | EntityColumn():
                cells = _text(name, column, cells, causes)
                if isinstance(column, CategoricalColumn):
                    text.append(cells)
                elif isinstance(column, EntityColumn):
                    entity[name] = cells
            case CurrencyColumn():
                wrong = cells.is_null() | (_as_text(name, cells) != column.code)
                causes.add(name, wrong, f"expected {column.code}, the only currency this profile knows")
            case TimestampColumn():
                time = column_times(name, column, cells)
                causes.add(name, cells.is_null(), "missing value")
                outside = time.is_null() | (time < 0) | (time > LAST_TIME)
                causes.add(name, outside, f"expected {TIME_EXPECTED[column.format]}")
            case LabelColumn():
                label = _labels(name, column, cells, causes)
            case ScenarioColumn():
                _refuse_card_numbers(name, card_number_rows(_as_text(name, cells)), causes)
    good = ~causes.bad
    keep = pl.Series(good)
    return ParsedRows(
        good=good,
        numeric=np.column_stack([c.to_numpy() for c in numeric])[good] if numeric else np.empty((int(good.sum()), 0)),
        text=tuple(cells.filter(keep) for cells in text),
        entity={name: cells.filter(keep) for name, cells in entity.items()},
        time=time.fill_null(0).to_numpy()[good],
        label=None if label is None else label.fill_null(UNKNOWN).to_numpy()[good],
        errors=causes.errors(),
    )


def _numbers(name: str, column: NumericColumn, cells: pl.Series, causes: _Causes) -> pl.Series:
    if not (cells.dtype.is_numeric() or cells.dtype in (pl.String, pl.Boolean, pl.Null)):
        raise InvalidInput(f"column {name}: expected numbers, the table holds {cells.dtype}")
    values = cells.cast(pl.Float64, strict=False)
    if cells.dtype == pl.String and values.null_count() > cells.null_count():
        stripped = cells.str.strip_chars()
        values = stripped.cast(pl.Float64, strict=False)
        causes.add(name, values.is_null() & (stripped != ""), "not a number")
    values = values.fill_nan(None)
    if not column.nullable:
        causes.add(name, values.is_null(), "missing value")
    causes.add(name, values.abs() > FLOAT32_MAX, "outside the range of a 32-bit float")
    suspects = ((values.abs() > SURELY_NO_CARD) & (values.abs() < _LARGEST_PAN)).fill_null(False).arg_true()
    cards = [row for row in suspects if is_card_number(values[row]) or contains_card_number(str(cells[row]))]
    _refuse_card_numbers(name, cards, causes)
    outside = pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)
    if column.minimum is not None:
        outside |= values < column.minimum
    if column.maximum is not None:
        outside |= values > column.maximum
    causes.add(name, outside, f"must be {bounds_text(column)}")
    return values.fill_null(float("nan"))


def _text(
    name: str, column: CategoricalColumn | IdColumn | EntityColumn, cells: pl.Series, causes: _Causes
) -> pl.Series:
    cells = _as_text(name, cells)
    if not (isinstance(column, CategoricalColumn) and column.nullable):
        causes.add(name, cells.is_null() | (cells == ""), "missing value")
    causes.add(name, cells.str.contains("\0", literal=True), "holds a NUL character")
    causes.add(name, cells.str.len_chars() > column.max_length, f"longer than {column.max_length} characters")
    causes.add(name, cells.str.contains("\0", literal=True), "holds a NUL character")
    _refuse_card_numbers(name, card_number_rows(cells), causes)
    return cells


def _as_text(name: str, cells: pl.Series) -> pl.Series:
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise InvalidInput(f"column {name}: expected text, the table holds {cells.dtype}")
    return cells.cast(pl.String, strict=False)


def _refuse_card_numbers(name: str, rows: list[int], causes: _Causes) -> None:
    if rows:
        bad = np.zeros(len(causes.bad), dtype=bool)
        bad[rows] = True
        causes.add(name, pl.Series(bad), CARD_NUMBER)


def _labels(name: str, column: LabelColumn, cells: pl.Series, causes: _Causes) -> pl.Series:
    text = _as_text(name, cells).str.strip_chars().str.to_lowercase()
    text = text.str.replace(r"^([0-9]+)\.0+$", "$1")
    known = [*column.fraud, *column.legitimate]
    codes = [FRAUD] * len(column.fraud) + [LEGITIMATE] * len(column.legitimate)
    label = text.replace_strict(
        pl.Series([value.lower() for value in known], dtype=pl.String),
        pl.Series(codes, dtype=pl.Int8),
        default=None,
        return_dtype=pl.Int8,
    )
    expected = f"expected one of {', '.join(known)} (the profile's fraud and legitimate), or an empty cell for unknown"
    causes.add(name, label.is_null() & text.is_not_null() & (text != ""), expected)
    return label
