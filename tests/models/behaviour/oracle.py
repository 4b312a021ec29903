"""Behaviour features by brute force, from their definition, in fractions and decimals: nothing of the kernel."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from fractions import Fraction

_MICRO = 1_000_000
_DIGITS = 40
_PI = Decimal("3.14159265358979323846264338327950288419716939937510")
_EARTH = Decimal("6371.0088")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LATE = 3 * 86_400 * _MICRO
WINDOWED = ("count", "sum", "mean", "std", "max", "distinct", "same", "ratio_to_mean", "zscore")
OF_LABELS = ("fraud_share", "fraud_count", "fraud_streak")


@dataclass
class Event:
    """One transaction as an entity sees it. ``fraud`` is what is known now.

    Attributes:
        time: microseconds since 1970 UTC.
        amount: minor units.
        place: latitude and longitude in units of 1e-7 degrees.
        values: by column.
    """

    time: int
    amount: int
    place: tuple[int, int] | None
    values: dict[str, str]
    fraud: bool = False

    def as_known(self, known: int, clock: int) -> Event:
        """What is known of it when the entity's newest event is at ``clock``, its label being known since ``known``."""
        return replace(self, fraud=self.fraud and known < clock)


@dataclass(frozen=True)
class Section:
    """What is computed for one kind of entity, as the profile says it."""

    windows: tuple[str, ...]
    features: tuple[str, ...]
    label_delay: str = "7d"
    digits: int = 2


def micros(text: str) -> int:
    """A duration in microseconds."""
    return int(text[:-1]) * _SECONDS[text[-1]] * _MICRO


def too_late(before: list[Event], event: Event) -> bool:
    """Whether the event is refused."""
    return bool(before) and event.time < max(e.time for e in before) - LATE


def features(section: Section, before: list[Event], event: Event) -> dict[str, float]:
    """Every feature of an event by name, e.g. ``distinct_country_7d``.

    Args:
        before: the entity's events that arrived earlier and were not refused, in order of arrival.
    """
    longest = section.windows[-1]
    found: dict[str, float] = {}
    for feature in section.features:
        rest, _, own = feature.partition("@")
        word, _, column = rest.partition(":")
        for window in (own,) if own else section.windows if word in (*WINDOWED, *OF_LABELS) else ("",):
            name = "_".join(part for part in (word, column, window) if part)
            found[name] = _value(section, word, column, window or longest, before, event)
    found["is_new"] = 0.0 if _within(before, event.time, longest) else 1.0
    return found


def _within(before: list[Event], end: int, window: str) -> list[Event]:
    """In order of time, order of arrival among equal times."""
    return sorted((e for e in before if end - micros(window) <= e.time < end), key=lambda e: e.time)


def _value(section: Section, word: str, column: str, window: str, before: list[Event], event: Event) -> float:  # noqa: PLR0912
    seen = _within(before, event.time, window)
    amounts = [e.amount for e in seen]
    unit = 10**section.digits
    match word:
        case "count":
            return float(len(seen))
        case "sum":
            return float(Fraction(sum(amounts), unit))
        case "mean":
            return float(Fraction(sum(amounts), len(seen) * unit)) if seen else 0.0
        case "std":
            return float(_std(amounts) / unit)
        case "max":
            return float(Fraction(max(amounts), unit)) if seen else 0.0
        case "distinct":
            return float(len({e.values[column] for e in seen}))
        case "ratio_to_mean":
            return float(event.amount / max(Fraction(sum(amounts), len(seen)), Fraction(1))) if seen else 1.0
        case "zscore":
            return _zscore(amounts, event.amount)
        case "fraud_share" | "fraud_count" | "fraud_streak":
            return _of_labels(word, _within(before, event.time - micros(section.label_delay), window))
        case "since_last":
            return (event.time - seen[-1].time if seen else micros(window)) / 1e6
        case "since":
            times = [e.time for e in seen if e.values[column] == event.values[column]]
            return (event.time - max(times) if times else micros(window)) / 1e6
        case "since_first":
            times = [e.time for e in seen if e.values[column] == event.values[column]]
            return (event.time - min(times)) / 1e6 if times else 0.0
        case "ratio_to_same":
            same = [e.amount for e in seen if e.values[column] == event.values[column]]
            return float(event.amount / max(Fraction(sum(same), len(same)), Fraction(1))) if same else 1.0
        case "same":
            return float(sum(e.values[column] == event.values[column] for e in seen))
        case "km_from_last":
            return float(_km(seen, event))
        case "km_from_usual":
            return float(_usual_km(seen, event))
        case "kmh":
            elapsed = event.time - seen[-1].time if seen else micros(window)
            return float(_km(seen, event) / (Decimal(max(elapsed, 60 * _MICRO)) / (3_600 * _MICRO)))
        case "new":
            return 1.0 if seen and event.values[column] not in {e.values[column] for e in seen} else 0.0
        case "hour_rarity":
            return _hour_rarity(seen, event)
    raise AssertionError(word)


def _of_labels(word: str, known: list[Event]) -> float:
    frauds = [e.time for e in known if e.fraud]
    if word == "fraud_share":
        return float(Fraction(len(frauds)) / (len(known) + 2 + Fraction(1, 1024)))
    if word == "fraud_count":
        return float(len(frauds))
    honest = max((e.time for e in known if not e.fraud), default=-(2**63))
    return float(sum(t > honest for t in frauds))


def _std(amounts: list[int]) -> Decimal:
    n = len(amounts)
    if n < 2:
        return Decimal(0)
    mean = Fraction(sum(amounts), n)
    variance = sum(((a - mean) ** 2 for a in amounts), Fraction(0)) / (n - 1)
    with localcontext(prec=_DIGITS):
        return (Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt()


def _zscore(amounts: list[int], amount: int) -> float:
    if len(amounts) < 2:
        return 0.0
    mean = Fraction(sum(amounts), len(amounts))
    with localcontext(prec=_DIGITS):
        over = amount - mean
        tenth = abs(Decimal(mean.numerator) / Decimal(mean.denominator)) / 10
        return float(Decimal(over.numerator) / Decimal(over.denominator) / max(_std(amounts), tenth, Decimal(1)))


def _hour_rarity(seen: list[Event], event: Event) -> float:
    hours = [(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=e.time)).hour for e in seen]
    hour = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.time)).hour
    near = hours.count((hour - 1) % 24) + 2 * hours.count(hour) + hours.count((hour + 1) % 24)
    with localcontext(prec=_DIGITS):
        return float((Decimal(4 * len(seen) + 24) / Decimal(24 * (near + 1))).ln())


def _km(seen: list[Event], event: Event) -> Decimal:
    if not seen or seen[-1].place is None or event.place is None:
        return Decimal(0)
    with localcontext(prec=_DIGITS):
        degree = _PI / 180 / 10_000_000
        (lat_a, lon_a), (lat_b, lon_b) = [(x * degree, y * degree) for x, y in (seen[-1].place, event.place)]
        half = _sin((lat_b - lat_a) / 2) ** 2
        half += _sin(_PI / 2 - lat_a) * _sin(_PI / 2 - lat_b) * _sin((lon_b - lon_a) / 2) ** 2
        return 2 * _EARTH * _asin(min(half, Decimal(1)).sqrt())


def _usual_km(seen: list[Event], event: Event) -> Decimal:
    """A tenth of the events that have a place, rounded up, lie as near as this or nearer."""
    here = event.place
    placed = [e for e in seen if e.place is not None] if here else []
    # Floats say which event it is, and the exact distance is taken of that one alone: 40 digits are slow.
    placed.sort(key=lambda e: _half(e.place or (0, 0), here or (0, 0)))
    return _km([placed[math.ceil(len(placed) / 10) - 1]], event) if placed else Decimal(0)


def _half(a: tuple[int, int], b: tuple[int, int]) -> float:
    """What the haversine formula takes the root of: it grows with the distance."""
    north, east = ((x - y) / 2e7 for x, y in zip(a, b, strict=True))
    across = math.cos(math.radians(a[0] / 1e7)) * math.cos(math.radians(b[0] / 1e7))
    return math.sin(math.radians(north)) ** 2 + across * math.sin(math.radians(east)) ** 2


def _sin(x: Decimal) -> Decimal:
    term = total = x
    n = 1
    while abs(term) > Decimal(10) ** -_DIGITS:
        term *= -x * x / ((n + 1) * (n + 2))
        total += term
        n += 2
    return total


def _asin(x: Decimal) -> Decimal:
    if x > Decimal("0.8"):
        return _PI / 2 - _asin((1 - x * x).sqrt())
    y = Decimal(math.asin(float(x)))
    for _ in range(3):
        y -= (_sin(y) - x) / _sin(_PI / 2 - y)
    return y
