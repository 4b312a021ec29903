"""Timestamps in every form a profile allows, one at a time or a column at once: microseconds since 1970 UTC."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.durations import duration_seconds
from models.errors import InvalidInput
from models.forms.texts import text_column, text_of
from models.forms.time_patterns import TimePattern
from models.forms.zones import utc, utc_column
from models.schema import TimeColumn

#: A form that has a name; others are patterns.
TimeFormat = Literal["iso8601", "iso8601-utc", "epoch-s", "epoch-ms", "epoch-us", "excel", "elapsed-s"]

_ISO = (
    r"^\d{4}-\d{2}-\d{2}[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?"
    r"(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)"
)
ISO_WITH_ZONE = _ISO + "$"
ISO_ANY_ZONE = _ISO + "?$"
_ISO_PATTERNS = {"iso8601-utc": re.compile(ISO_ANY_ZONE, re.ASCII)}
_ISO_DEFAULT = re.compile(ISO_WITH_ZONE, re.ASCII)
_MICROSECONDS = {"epoch-s": 1e6, "epoch-ms": 1e3, "epoch-us": 1.0, "elapsed-s": 1e6, "excel": 86_400e6}
#: Days that a spreadsheet counts until 1970, and to what its times are rounded: a double has no more of them.
EXCEL_DAYS, _EXCEL_MICROS = 25_569, 1_000
_DIGITS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
#: The last microsecond of year 9999, as both ISO 8601 readers can express it.
LAST_TIME = 253_402_300_799_999_999
#: The weekday of day 0 (Monday = 0): 1970-01-01 was a Thursday.
EPOCH_WEEKDAY = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_EXPECTED = {
    "iso8601": "an ISO 8601 time with a zone, e.g. 2026-01-31T08:15:00Z",
    "iso8601-utc": "an ISO 8601 time, e.g. 2026-01-31T08:15:00",
    "epoch-s": "seconds since 1970, or an ISO 8601 time with a zone",
    "epoch-ms": "milliseconds since 1970, or an ISO 8601 time with a zone",
    "epoch-us": "microseconds since 1970, or an ISO 8601 time with a zone",
    "excel": "days as a spreadsheet counts them, e.g. 45717.5, or an ISO 8601 time with a zone",
    "elapsed-s": "seconds, zero or more",
    "steps": "a number of steps, zero or more",
}


def parse_time(value: str | float, form: TimeFormat) -> int:
    """Microseconds since 1970 UTC (since the start, for ``elapsed-s``) of one timestamp.

    Raises:
        ValueError: not of the form; the message is what was expected, never the value.
    """
    if isinstance(value, str):
        if form != "elapsed-s" and _ISO_PATTERNS.get(form, _ISO_DEFAULT).match(value):
            try:
                read = datetime.fromisoformat(value)
            except ValueError:
                raise ValueError(TIME_EXPECTED[form]) from None
            if read.tzinfo is None:
                read = read.replace(tzinfo=UTC)
            micros = (read - _EPOCH) // _MICROSECOND
            if 0 <= micros <= LAST_TIME:
                return micros
        elif form in _MICROSECONDS and form != "elapsed-s" and _DIGITS.fullmatch(value):
            return parse_time(float(value), form)
    elif form in _MICROSECONDS and math.isfinite(value):
        scaled = float(_micros(form, value))
        if 0 <= scaled <= LAST_TIME:
            return int(scaled)
    raise ValueError(TIME_EXPECTED[form])


def _micros(form: str, values: Any) -> Any:
    """Microseconds of a number, or of an array of them, not rounded to whole ones where they are too many."""
    if form == "excel":
        return np.rint((values - EXCEL_DAYS) * (_MICROSECONDS[form] / _EXCEL_MICROS)) * _EXCEL_MICROS
    return np.rint(values * _MICROSECONDS[form])


def moment(text: str, form: TimeFormat = "iso8601-utc") -> int:
    """Microseconds since 1970 UTC of a time, or of so long ago, e.g. ``7d``.

    Raises:
        ValueError: neither; the message is the form of time that was expected.
    """
    try:
        return time.time_ns() // 1_000 - duration_seconds(text) * 1_000_000
    except ValueError:
        return parse_time(text, form)


_MICROSECOND = datetime(1970, 1, 1, 0, 0, 0, 1) - datetime(1970, 1, 1)


def expected_time(column: TimeColumn) -> str:
    """What a cell of the column should hold, for messages."""
    known = TIME_EXPECTED.get(column.format)
    return known or f"a time as {column.format} in {column.zone}, or ISO 8601 with a zone"


def parse_times(column: TimeColumn, values: Sequence[Any]) -> int:
    """Microseconds since 1970 UTC of one timestamp, given the value of each field: texts and numbers.

    Raises:
        ValueError: not of the form; the message is what was expected, never a value.
    """
    if "%" in column.format:
        text = " ".join(map(text_of, values))
        try:
            micros = pattern_time(column.format, column.zone, column.year, text)
        except ValueError:
            micros = _iso_time(text)
        if 0 <= micros <= LAST_TIME:
            return micros
        raise ValueError(expected_time(column))
    value = values[0]
    if column.format == "steps":
        if isinstance(value, str):
            micros = -1 if column.elapsed else _iso_time(value)
        else:
            micros = _stepped(float(np.rint(value * _step(column))), column) if math.isfinite(value) else -1
        if micros < 0:
            raise ValueError(expected_time(column))
        return micros
    return parse_time(value, column.format)  # type: ignore[arg-type]


def _iso_time(text: str) -> int:
    try:
        return parse_time(text, "iso8601")
    except ValueError:
        return -1


def _step(column: TimeColumn) -> float:
    return float(column.step_seconds or 1) * 1e6


def _stepped(scaled: float, column: TimeColumn) -> int:
    """Microseconds of so many since the start; -1 outside of what a time may be."""
    return int(scaled) + column.start_micros if 0 <= scaled <= LAST_TIME - column.start_micros else -1


def joined_times(column: TimeColumn, cells: Sequence[pl.Series]) -> pl.Series:
    """The fields of a timestamp as one column: their texts with a blank between them, null where one is missing."""
    if len(cells) == 1:
        return cells[0]
    whole = text_column(cells[0])
    for part in cells[1:]:
        whole = whole + " " + text_column(part)
    return whole


def pattern_time(form: str, zone: str, year: int | None, text: str) -> int:
    """Microseconds since 1970 UTC, below zero before, of one text in a pattern.

    Raises:
        ValueError: it is not of the pattern.
    """
    pattern = TimePattern.of(form)
    micros = pattern.micros(text, year)
    return micros if pattern.has_zone else utc(micros, zone)


def pattern_times(form: str, zone: str, year: int | None, cells: pl.Series) -> pl.Series:
    """Microseconds since 1970 UTC of a column of texts, numbers, dates or datetimes; null where a cell is not so."""
    if isinstance(cells.dtype, pl.Datetime) or cells.dtype == pl.Date:
        local = cells.cast(pl.Datetime("us", getattr(cells.dtype, "time_zone", None))).cast(pl.Int64)
        zoned = getattr(cells.dtype, "time_zone", None) is not None
    else:
        pattern = TimePattern.of(form)
        local, zoned = pattern.column(text_column(cells), year), pattern.has_zone
    if zoned or zone == "UTC":
        return local
    return pl.Series(cells.name, utc_column(local.fill_null(0).to_numpy(), zone)).set(local.is_null(), None)


def column_times(name: str, column: TimeColumn, cells: pl.Series) -> pl.Series:
    """Microseconds of a column of text, numbers or datetimes; null or out of range where a cell is not of the form.

    Raises:
        InvalidInput: the column as a whole is of another type.
    """
    expected = expected_time(column)
    if "%" in column.format:
        micros = pattern_times(column.format, column.zone, column.year, cells)
        if cells.dtype == pl.String:
            micros = micros.fill_null(_iso_times(ISO_WITH_ZONE, cells))
    elif column.format == "steps":
        micros = _steps(column, cells)
    elif isinstance(cells.dtype, pl.Datetime) and column.format != "elapsed-s":
        if cells.dtype.time_zone is None and column.format != "iso8601-utc":
            raise InvalidInput(f"column {name}: expected {expected}; the table's times have no zone")
        micros = cells.cast(pl.Datetime("us", cells.dtype.time_zone)).cast(pl.Int64)
    elif cells.dtype == pl.String:
        pattern = ISO_ANY_ZONE if column.format == "iso8601-utc" else ISO_WITH_ZONE
        micros = _iso_times(pattern, cells) if column.format != "elapsed-s" else _nothing(cells)
        if column.format in _MICROSECONDS:
            micros = micros.fill_null(_scaled(column.format, _numbers(cells)))
    elif cells.dtype.is_numeric() and column.format in _MICROSECONDS:
        micros = _scaled(column.format, _numbers(cells))
    elif cells.dtype == pl.Null:
        micros = cells.cast(pl.Int64)
    else:
        raise InvalidInput(f"column {name}: expected {expected}; the table holds {cells.dtype}")
    return micros


def _steps(column: TimeColumn, cells: pl.Series) -> pl.Series:
    with np.errstate(over="ignore"):  # what overflows is outside the range
        scaled = _in_range(np.rint(_numbers(cells).to_numpy() * _step(column))).to_numpy()
    start = column.start_micros
    valid = (scaled >= 0) & (scaled <= LAST_TIME - start)
    micros = pl.Series(np.where(valid, scaled + start, -1))
    return micros if column.elapsed else micros.zip_with(micros >= 0, _iso_times(ISO_WITH_ZONE, text_column(cells)))


def _numbers(cells: pl.Series) -> pl.Series:
    return (cells.str.strip_chars() if cells.dtype == pl.String else cells).cast(pl.Float64, strict=False)


def _scaled(form: str, values: pl.Series) -> pl.Series:
    with np.errstate(over="ignore"):  # what overflows is outside the range
        return _in_range(_micros(form, values.to_numpy()))


def _in_range(micros: NDArray[np.float64]) -> pl.Series:
    valid = np.isfinite(micros) & (micros >= 0) & (micros <= LAST_TIME)
    return pl.Series(np.where(valid, micros, -1).astype(np.int64))


def _nothing(cells: pl.Series) -> pl.Series:
    return pl.repeat(None, len(cells), dtype=pl.Int64, eager=True)


def _iso_times(pattern: str, cells: pl.Series) -> pl.Series:
    text = cells.set(~cells.str.contains(rust_pattern(pattern)).fill_null(False), None)
    text = text.str.replace(" ", "T", literal=True)
    if pattern == ISO_ANY_ZONE:
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


def iso_text(micros: int) -> str:
    """Microseconds since 1970 UTC as ISO 8601, every digit of them."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")
