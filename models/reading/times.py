"""The time of one JSON object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from models.reading.causes import MISSING, Unusable
from models.schema import TimestampColumn
from models.times import expected_time, parse_times


def read_time(column: TimestampColumn, values: Sequence[Any]) -> int:
    """Microseconds of a timestamp, given the JSON value of each field.

    Raises:
        Unusable: it is no time of the form.
    """
    try:
        if all(type(value) in (int, float, str) for value in values):
            return parse_times(column, [float(value) if type(value) is int else value for value in values])
    except (ValueError, OverflowError):
        pass
    raise Unusable(MISSING if None in values else f"expected {expected_time(column)}")
