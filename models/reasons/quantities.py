"""Quantities as people say them: an amount, a distance, a duration, a span of time."""

from __future__ import annotations

import math

#: Seconds in the units that durations are told in, and from how many of a unit on it is taken.
_UNITS = ((86_400, "day", 2), (3_600, "hour", 2), (60, "minute", 2), (1, "second", 0))
#: From here on numbers are written with an exponent: twelve digits are no card number yet.
_LONGEST = 5e11


def figure(value: float) -> str:
    """A number with about four digits, thousands separated: 0.1235, 12, 1,234."""
    size = abs(value)
    shown = f"{value:,.0f}" if 1e3 <= size < _LONGEST else f"{value:.4g}"
    return "0" if shown == "-0" else shown


def rounded(value: float) -> str:
    """Two digits of a number: 0.012, 3.5, 35, 1,200."""
    if not value or not math.isfinite(value):
        return "0"
    if not 1e-4 <= abs(value) < _LONGEST:
        return f"{value:.1e}"
    places = 1 - math.floor(math.log10(abs(value)))
    shown = round(value, places)
    return f"{shown:,.{places}f}".rstrip("0").rstrip(".") if places > 0 else f"{shown:,.0f}"


def money(value: float, currency: str, digits: int) -> str:
    """An amount in its currency, with its decimals."""
    shown = f"{value:,.{digits}f}" if abs(value) < _LONGEST / 100 else f"{value:.3g}"
    return f"{shown} {currency}".rstrip()


def whole(value: float) -> str:
    """A count."""
    return f"{value:,.0f}" if abs(value) < _LONGEST else f"{value:.3g}"


def counted(number: float, noun: str) -> str:
    """Of a count and its noun: "1 payment", "3 countries"."""
    return f"{whole(number)} {noun if round(number) == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The usual English plural."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"


def kilometres(km: float) -> str:
    """A distance: 0.4 km, 34 km, 6,300 km."""
    return f"{rounded(km)} km"


def duration(seconds: float) -> str:
    """A time that has passed, in the largest unit of which there are two: 44 minutes, 20 hours."""
    size, unit, _ = next(one for one in _UNITS if abs(seconds) >= one[0] * one[2])
    return counted(seconds / size, unit)


def span(seconds: int) -> str:
    """A declared window: one hour, 7 days, 90 minutes."""
    count, unit = _in_one_unit(seconds)
    return f"one {unit}" if count == 1 else counted(count, unit)


def latest(seconds: int) -> str:
    """The window before now: the last hour, the last 7 days."""
    count, unit = _in_one_unit(seconds)
    return f"the last {unit}" if count == 1 else f"the last {counted(count, unit)}"


def between(first: int, end: int) -> str:
    """A window that ended some seconds ago: 7 to 35 days ago; of one that ends now :func:`latest`."""
    if first == 0:
        return f"in {latest(end)}"
    size, unit, _ = next(one for one in _UNITS if first % one[0] == 0 and end % one[0] == 0)
    return f"{whole(first / size)} to {counted(end / size, unit)} ago"


def _in_one_unit(seconds: int) -> tuple[int, str]:
    size, unit, _ = next(one for one in _UNITS if seconds % one[0] == 0)
    return seconds // size, unit
