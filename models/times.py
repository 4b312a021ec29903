"""Timestamps in every form a profile allows, one at a time or a column at once: microseconds since 1970 UTC."""

from __future__ import annotations

import math
import re
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from models.durations import duration_seconds
from models.errors import InvalidInput
from models.schema import TimeFormat, TimestampColumn

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
LAST_TIME = 253_402_300_799_999_999
#: A day in microseconds, and the weekday of day 0 (Monday = 0): 1970-01-01 was a Thursday.
DAY, EPOCH_WEEKDAY = 86_400_000_000, 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIME_EXPECTED = {
    "iso8601": "an ISO 8601 time with a zone, e.g. 2026-01-31T08:15:00Z",
    "iso8601-utc": "an ISO 8601 time, e.g. 2026-01-31T08:15:00",
    "epoch-s": "seconds since 1970, or an ISO 8601 time with a zone",
    "epoch-ms": "milliseconds since 1970, or an ISO 8601 time with a zone",
    "elapsed-s": "seconds, zero or more",
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
    elif form in _MICROSECONDS and math.isfinite(value):
        scaled = float(np.rint(value * _MICROSECONDS[form]))
        if 0 <= scaled <= LAST_TIME:
            return int(scaled)
    raise ValueError(TIME_EXPECTED[form])


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


def column_times(name: str, column: TimestampColumn, cells: pl.Series) -> pl.Series:
    """Microseconds of a column of text, numbers or datetimes; null or out of range where a cell is not of the form.

    Raises:
        InvalidInput: the column as a whole is of another type.
    """
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
    return micros


def _scaled(column: TimestampColumn, values: pl.Series) -> pl.Series:
    with np.errstate(over="ignore"):  # what overflows is outside the range
        micros = np.rint(values.to_numpy() * _MICROSECONDS[column.format])
    valid = np.isfinite(micros) & (micros >= 0) & (micros <= LAST_TIME)
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


def iso_text(micros: int) -> str:
    """Microseconds since 1970 UTC as ISO 8601, every digit of them."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat().replace("+00:00", "Z")
