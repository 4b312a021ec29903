"""The time of day and the weekday of a moment, as reasons and recorded decisions tell them."""

from __future__ import annotations

from models.forms.time_patterns import DAY
from models.times import EPOCH_WEEKDAY

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MINUTE = 60_000_000


def clock(micros: int) -> str:
    """The time of day, UTC: "04:15"."""
    return clock_of_minutes(micros % DAY // _MINUTE)


def clock_of_minutes(minutes: int) -> str:
    """Minutes since midnight as a time of day."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def cycle_text(cycle: str, micros: int) -> str:
    """The time of day ("04:15") or the weekday of a moment, UTC, by what the cycle is: "hour" or "weekday"."""
    return clock(micros) if cycle == "hour" else WEEKDAYS[(micros // DAY + EPOCH_WEEKDAY) % 7]


def expected_text(cycle: str, expected: float) -> str:
    """The same of what the detector expects: an hour [0, 24), or a weekday [0, 7) with Monday = 0."""
    return clock_of_minutes(int(expected * 60)) if cycle == "hour" else WEEKDAYS[int(expected) % 7]
