"""Rows under a schema: text cells or typed columns in, checked numbers out, each bad row with its cause.

Everything that is scored or trained on passes here or through the API's request model, and both use the
declarations of :mod:`models.schema`; the scalar functions below are the reference for the vectorised ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.pan import CANDIDATE_PATTERN, contains_card_number
from models.schema import (
    FLOAT32_MAX,
    CategoricalColumn,
    CurrencyColumn,
    EntityColumn,
    IdColumn,
    LabelColumn,
    NumericColumn,
    ScenarioColumn,
    TimeFormat,
    TimestampColumn,
    TransactionSchema,
)

FRAUD, LEGITIMATE, UNKNOWN = 1, 0, -1

_ISO = (
    r"^\d{4}-\d{2}-\d{2}[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
    r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
)
ISO_WITH_ZONE = _ISO + "$"
ISO_ANY_ZONE = _ISO + "?$"
_ISO_PATTERNS = {"iso8601-utc": re.compile(ISO_ANY_ZONE, re.ASCII)}
_ISO_DEFAULT = re.compile(ISO_WITH_ZONE, re.ASCII)
_MICROSECONDS = {"epoch-s": 1e6, "epoch-ms": 1e3, "elapsed-s": 1e6}
#: The last microsecond of year 9999, as both ISO 8601 readers can express it.
_LAST_TIME = 253_402_300_799_999_999
#: The cause where a cell holds a card number.
CARD_NUMBER = "looks like a card number; send a pseudonymous id instead"
_SMALLEST_PAN, _LARGEST_PAN = 2 * 10**12, 7 * 10**18
_LARGEST_INTEGER = 2**53  # that a float64 tells from its neighbours
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TIME_EXPECTED = {
    "iso8601": "an ISO 8601 time with a zone, e.g. 2026-01-31T08:15:00Z",
    "iso8601-utc": "an ISO 8601 time, e.g. 2026-01-31T08:15:00",
    "epoch-s": "seconds since 1970, or an ISO 8601 time with a zone",
    "epoch-ms": "milliseconds since 1970, or an ISO 8601 time with a zone",
    "elapsed-s": "seconds, zero or more",
}


@dataclass(frozen=True)
class Batch:
    """Transactions in the form the detector's graph takes.

    Attributes:
        numeric: float64 [n, numeric features], in the user's units, NaN where missing.
        categorical: int64 [n, categorical features], position in the vocabulary, 0 = unknown.
        time: int64 [n], microseconds since 1970 UTC (or since the start, for ``elapsed-s``); 0 without timestamp.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.int64]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Batch:
        """The chosen rows, in the order of ``rows``."""
        return Batch(self.numeric[rows], self.categorical[rows], self.time[rows])

    @staticmethod
    def concat(parts: Iterable[Batch]) -> Batch:
        """All parts, one below the other."""
        many = list(parts)
        return Batch(
            np.concatenate([part.numeric for part in many]),
            np.concatenate([part.categorical for part in many]),
            np.concatenate([part.time for part in many]),
        )


@dataclass(frozen=True)
class Vocabulary:
    """The values of each categorical feature that training knew; position 0 is everything else.

    Attributes:
        values: per categorical feature, its values; the value at index i has code i + 1. "" stands for missing.
    """

    values: tuple[tuple[str, ...], ...]

    def encode(self, columns: Iterable[pl.Series]) -> NDArray[np.int64]:
        """Codes [n, features] of text columns, in the schema's order."""
        codes = [
            column.fill_null("")
            .replace_strict(
                pl.Series(known, dtype=pl.String),
                pl.Series(range(1, len(known) + 1), dtype=pl.Int64),
                default=0,
                return_dtype=pl.Int64,
            )
            .to_numpy()
            for known, column in zip(self.values, columns, strict=True)
        ]
        return np.column_stack(codes) if codes else np.empty((0, 0), np.int64)


@dataclass(frozen=True)
class RowError:
    """One row that cannot be used. The cause never repeats a value.

    Attributes:
        row: position in the frame it came from, from 0; readers translate it to a line of the file.
        column: the column at fault; empty where the row as a whole is.
        cause: what is wrong and what was expected.
    """

    row: int
    column: str
    cause: str


@dataclass(frozen=True)
class ParsedRows:
    """The good rows of a frame, and an error for each of the others.

    Attributes:
        good: bool [rows of the frame].
        numeric: float64 [good rows, numeric features], NaN where missing.
        text: one text column of the good rows per categorical feature.
        time: int64 [good rows], microseconds.
        label: int8 [good rows]: FRAUD, LEGITIMATE or UNKNOWN; None where the schema or the frame has no label.
        errors: in row order.
    """

    good: NDArray[np.bool_]
    numeric: NDArray[np.float64]
    text: tuple[pl.Series, ...]
    time: NDArray[np.int64]
    label: NDArray[np.int8] | None
    errors: tuple[RowError, ...]

    def batch(self, vocabulary: Vocabulary) -> Batch:
        """The good rows as the detector takes them."""
        codes = vocabulary.encode(self.text) if self.text else np.empty((len(self.time), 0), np.int64)
        return Batch(self.numeric, codes, self.time)


def parse_time(value: str | float, form: TimeFormat) -> int:
    """Microseconds since 1970 UTC (since the start, for ``elapsed-s``) of one timestamp.

    Raises:
        ValueError: not of the form; the message is what was expected, never the value.
    """
    if isinstance(value, str):
        if form != "elapsed-s" and _ISO_PATTERNS.get(form, _ISO_DEFAULT).match(value):
            try:
                moment = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(TIME_EXPECTED[form]) from None
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            micros = (moment - _EPOCH) // _MICROSECOND
            if 0 <= micros <= _LAST_TIME:
                return micros
    elif form in _MICROSECONDS and math.isfinite(value):
        scaled = float(np.rint(value * _MICROSECONDS[form]))
        if 0 <= scaled <= _LAST_TIME:
            return int(scaled)
    raise ValueError(TIME_EXPECTED[form])


_MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1) - datetime(1970, 1, 1)


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
        InvalidInput: naming the missing columns and some of those present.
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
            case CurrencyColumn():
                wrong = cells.is_null() | (_as_text(name, cells) != column.code)
                causes.add(name, wrong, f"expected {column.code}, the only currency this profile knows")
            case TimestampColumn():
                time = _times(name, column, cells, causes)
            case LabelColumn():
                label = _labels(name, column, cells, causes)
            case ScenarioColumn():
                pass
    good = ~causes.bad
    keep = pl.Series(good)
    return ParsedRows(
        good=good,
        numeric=np.column_stack([c.to_numpy() for c in numeric])[good] if numeric else np.empty((int(good.sum()), 0)),
        text=tuple(cells.filter(keep) for cells in text),
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
    suspect = (values >= _SMALLEST_PAN) & (values <= _LARGEST_PAN) & (values == values.floor())
    _refuse_card_numbers(name, suspect.fill_null(False), lambda row: _digits(cells[row], values[row]), causes)
    outside = pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)
    if column.minimum is not None:
        outside |= values < column.minimum
    if column.maximum is not None:
        outside |= values > column.maximum
    causes.add(name, outside, f"must be {bounds_text(column)}")
    return values.fill_null(float("nan"))


def _digits(cell: object, value: float) -> str:
    """A number as it stands in the table, and written out where a float has all its digits."""
    return f"{cell}|{int(value)}" if value <= _LARGEST_INTEGER else str(cell)


def _text(
    name: str, column: CategoricalColumn | IdColumn | EntityColumn, cells: pl.Series, causes: _Causes
) -> pl.Series:
    cells = _as_text(name, cells)
    if not (isinstance(column, CategoricalColumn) and column.nullable):
        causes.add(name, cells.is_null() | (cells == ""), "missing value")
    causes.add(name, cells.str.contains("\0", literal=True), "holds a NUL character")
    causes.add(name, cells.str.len_chars() > column.max_length, f"longer than {column.max_length} characters")
    causes.add(name, cells.str.contains("\0", literal=True), "holds a NUL character")
    suspect = cells.str.contains(CANDIDATE_PATTERN).fill_null(False)
    _refuse_card_numbers(name, suspect, lambda row: str(cells[row]), causes)
    return cells


def _as_text(name: str, cells: pl.Series) -> pl.Series:
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise InvalidInput(f"column {name}: expected text, the table holds {cells.dtype}")
    return cells.cast(pl.String, strict=False)


def _refuse_card_numbers(name: str, suspect: pl.Series, text: Callable[[int], str], causes: _Causes) -> None:
    if suspect.any():
        bad = np.zeros(len(suspect), dtype=bool)
        bad[[row for row in suspect.arg_true() if contains_card_number(text(row))]] = True
        causes.add(name, pl.Series(bad), CARD_NUMBER)


def _times(name: str, column: TimestampColumn, cells: pl.Series, causes: _Causes) -> pl.Series:
    expected = TIME_EXPECTED[column.format]
    if isinstance(cells.dtype, pl.Datetime) and column.format != "elapsed-s":
        if cells.dtype.time_zone is None and column.format != "iso8601-utc":
            raise InvalidInput(f"column {name}: expected {expected}; the table's times have no zone")
        micros = cells.cast(pl.Datetime("us", cells.dtype.time_zone)).cast(pl.Int64)
    elif cells.dtype == pl.String:
        micros = _iso_times(column, cells)
        if column.format in _MICROSECONDS:
            micros = micros.fill_null(_scaled(column, cells.str.strip_chars().cast(pl.Float64, strict=False)))
    elif cells.dtype.is_numeric() and column.format in _MICROSECONDS:
        micros = _scaled(column, cells.cast(pl.Float64))
    elif cells.dtype == pl.Null:
        micros = cells.cast(pl.Int64)
    else:
        raise InvalidInput(f"column {name}: expected {expected}; the table holds {cells.dtype}")
    causes.add(name, cells.is_null(), "missing value")
    causes.add(name, micros.is_null() | (micros < 0) | (micros > _LAST_TIME), f"expected {expected}")
    return micros


def _scaled(column: TimestampColumn, values: pl.Series) -> pl.Series:
    with np.errstate(over="ignore"):  # what overflows is outside the range
        micros = np.rint(values.to_numpy() * _MICROSECONDS[column.format])
    valid = np.isfinite(micros) & (micros >= 0) & (micros <= _LAST_TIME)
    return pl.Series(np.where(valid, micros, -1).astype(np.int64))


def _iso_times(column: TimestampColumn, cells: pl.Series) -> pl.Series:
    if column.format == "elapsed-s":
        return pl.repeat(None, len(cells), dtype=pl.Int64, eager=True)
    pattern = ISO_ANY_ZONE if column.format == "iso8601-utc" else ISO_WITH_ZONE
    text = cells.set(~cells.str.contains(rust_pattern(pattern)).fill_null(False), None)
    text = text.str.replace(" ", "T", literal=True)
    if column.format == "iso8601-utc":
        text = pl.select(
            pl.when(text.str.contains(r"(?:Z|[+-]\d{2}:\d{2})$")).then(text).otherwise(text + "Z")
        ).to_series()
    # Digits beyond the microsecond are cut, as datetime.fromisoformat does.
    text = text.str.replace(r"(\.\d{6})\d+", "$1")
    moments = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", strict=False, time_unit="us")
    return moments.cast(pl.Int64)


def rust_pattern(pattern: str) -> str:
    """A pattern of this module for Polars, whose digits would include all of Unicode's."""
    return pattern.replace(r"\d", "[0-9]")


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
    expected = f"expected one of {', '.join(known)}, or an empty cell for unknown"
    causes.add(name, label.is_null() & text.is_not_null() & (text != ""), expected)
    return label


def at_lines(errors: Iterable[RowError], lines: NDArray[np.int64]) -> list[RowError]:
    """The same errors with ``row`` turned into the line (CSV) or row number (Parquet) of the source."""
    return [replace(error, row=int(lines[error.row])) for error in errors]
