"""Times in the words of a report: the span of the rows, their days, and periods to compare with each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from models.forms.time_patterns import DAY
from models.schema import TimestampColumn, TransactionSchema
from models.times import EPOCH_WEEKDAY

_HOUR = 3_600_000_000
_WEEKS_FROM, _DAYS_FROM, _HOURS_FROM = 28, 3, 3 / 24


@dataclass(frozen=True)
class Periods:
    """Consecutive stretches of time.

    Attributes:
        unit: ``week``, ``day`` or ``hour``.
        number: int [n], which period a row lies in, from 0; periods without rows have no number.
        names: one per period.
        offset: float [periods], start of the period in units since the first, for a true axis.
    """

    unit: str
    number: NDArray[np.int64]
    names: tuple[str, ...]
    offset: NDArray[np.float64]


class Clock:
    """Reads the times of one part.

    Args:
        schema: says whether there are timestamps and whether they have a calendar.
        time: int64 [n], microseconds.

    Attributes:
        exists: whether rows have a time at all.
        days: length of the part in days; None where there is none or it is shorter than an hour.
        day: int64 [n], number of the (UTC) day.
    """

    def __init__(self, schema: TransactionSchema, time: NDArray[np.int64]) -> None:
        column = schema.columns[schema.timestamp] if schema.timestamp else None
        self._time = time
        self.exists = isinstance(column, TimestampColumn) and len(time) > 0
        self._calendar = isinstance(column, TimestampColumn) and not column.elapsed
        span = float(time.max() - time.min()) if self.exists else 0.0
        self.days = span / DAY if span >= _HOUR else None
        self.day = time // DAY

    def moment(self, micros: int) -> str:
        """One time, to the minute."""
        if not self._calendar:
            return elapsed(micros)
        return f"{_moment(micros):%a %Y-%m-%d %H:%M}"

    def period(self) -> str | None:
        """From when to when, and how long."""
        if not self.exists:
            return None
        span = "" if self.days is None else f" ({length(self.days)})"
        return f"{self.moment(int(self._time.min()))} to {self.moment(int(self._time.max()))}{span}"

    def periods(self) -> Periods | None:
        """Weeks, days or hours, whichever gives enough of them; None where the part is shorter than three hours."""
        if self.days is None or self.days < _HOURS_FROM:
            return None
        unit, size = (
            ("week", 7 * DAY)
            if self.days >= _WEEKS_FROM
            else ("day", DAY)
            if self.days >= _DAYS_FROM
            else ("hour", _HOUR)
        )
        shift = EPOCH_WEEKDAY * DAY if unit == "week" and self._calendar else 0
        starts, number = np.unique((self._time + shift) // size, return_inverse=True)
        names = tuple(self._name(unit, int(start) * size - shift) for start in starts)
        return Periods(unit, number.astype(np.int64), names, (starts - starts[0]).astype(np.float64))

    def _name(self, unit: str, start: int) -> str:
        if not self._calendar:
            return (
                self.moment(start) if unit == "hour" else f"{unit} {start // (DAY * (7 if unit == 'week' else 1)) + 1}"
            )
        moment = _moment(max(start, 0))
        return (
            f"{moment:%m-%d %H:%M}" if unit == "hour" else f"{moment:%Y-%m-%d}" if unit == "week" else f"{moment:%m-%d}"
        )


def recorded(text: str) -> str:
    """A time of a manifest (ISO 8601, ``12.5 s`` since the start, ``step 3``) in the words of :meth:`Clock.moment`."""
    if text.startswith("step "):
        return text
    if text.endswith(" s"):
        return elapsed(round(float(text[:-2]) * 1e6))
    return f"{datetime.fromisoformat(text).astimezone(UTC):%a %Y-%m-%d %H:%M}"


def elapsed(micros: int) -> str:
    """A time since an unknown start; the first day is day 1."""
    return f"day {micros // DAY + 1}, {micros % DAY // _HOUR:02d}:{micros % _HOUR // 60_000_000:02d}"


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def length(days: float) -> str:
    """A length of time in days, or in hours below two days."""
    return f"{days:,.1f} days" if days >= 2 else f"{days * 24:,.1f} hours"
