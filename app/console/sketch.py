"""Drawings for pages, as SVG that the server makes: no script, no library, no style that a policy would refuse."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Of a drawing, in its own units; pages scale it.
WIDTH, HEIGHT = 720, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 8, 62, 14, 20
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A payment to draw.

    Attributes:
        time: microseconds; ``value``: amount.
        here: whether it is the one that the page is about.
    """

    time: int
    value: float | None
    label: str | None
    alert: bool
    here: bool


@dataclass(frozen=True, slots=True)
class Point:
    """Where a payment is drawn, and how: shape and colour both tell its label."""

    x: float
    y: float
    kind: str
    alert: bool
    here: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the grid with its caption."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of a series: what was, and between which two heights it was promised."""

    x: float
    width: float
    top: float
    low: float
    high: float
    broken: bool


@dataclass(frozen=True, slots=True)
class Sketch:
    """A drawing with its grid: of payments by time and amount, the latter on a scale of logarithms; or of counts by
    day, one bar for each, with the promise behind it."""

    days: tuple[Line, ...] = ()
    amounts: tuple[Line, ...] = ()
    points: tuple[Point, ...] = ()
    bars: tuple[Bar, ...] = ()
    width: int = WIDTH
    height: int = HEIGHT
    floor: float = HEIGHT - _BOTTOM


def sketch(marks: Sequence[Mark], end: int, span: int, caption: str) -> Sketch:
    """Payments before and after a moment.

    Args:
        end: the moment; what came later makes the drawing longer.
        caption: of the moment.
        span: microseconds before it that are shown, fewer where nothing was paid so early.
    """
    drawn = [mark for mark in marks if mark.value is not None and mark.time >= end - span]
    if not drawn:
        return Sketch()
    last = max(end, *(mark.time for mark in drawn))
    first = min(last - span // 15, *(mark.time for mark in drawn))
    most = max(1.0, *(abs(mark.value or 0.0) for mark in drawn))
    top = math.log1p(most)

    def across(time: int) -> float:
        share = (time - first) / (last - first)
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def up(value: float) -> float:
        return round(HEIGHT - _BOTTOM - math.log1p(abs(value)) / top * (HEIGHT - _TOP - _BOTTOM), 1)

    points = [Point(across(m.time), up(m.value or 0.0), m.label or "none", m.alert, m.here) for m in drawn]
    points.sort(key=lambda point: (point.here, point.alert))  # what matters is drawn on top
    return Sketch(_days(first, end, across, caption, last - first), _amounts(most, up), tuple(points))


def series(days: Sequence[tuple[str, float, float, float]]) -> Sketch:
    """Counts by day.

    Args:
        days: caption, count, and the lower and upper end of what was promised.
    """
    most = max((max(count, high) for _, count, _, high in days), default=0.0) or 1.0
    step = (WIDTH - _LEFT - _RIGHT) / max(len(days), 1)
    floor = HEIGHT - _BOTTOM

    def up(value: float) -> float:
        return round(floor - value / most * (floor - _TOP), 1)

    bars, captions = [], []
    every = -(-len(days) // 8)
    for place, (caption, count, low, high) in enumerate(days):
        x = _LEFT + place * step
        bars.append(Bar(round(x, 1), round(step, 1), up(count), up(low), up(high), not low <= count <= high))
        if (len(days) - 1 - place) % every == 0:
            captions.append(Line(round(x + step / 2, 1), caption))
    return Sketch(tuple(captions), (Line(up(most), f"{most:,.0f}"), Line(up(0), "0")), bars=tuple(bars))


def _days(first: int, end: int, across: Callable[[int], float], caption: str, span: int) -> tuple[Line, ...]:
    step = next((one for one in (1, 2, 5, 7, 10) if span / _DAY / one <= 7), 30) * _DAY
    counts = range((end - first) // step + 1)
    return tuple(
        Line(across(end - count * step), f"{count * step // _DAY} d before" if count else caption) for count in counts
    )


def _amounts(most: float, up: Callable[[float], float]) -> tuple[Line, ...]:
    powers = [10.0**power for power in range(0, math.floor(math.log10(most)) + 1)]
    chosen = powers[:: max(1, math.ceil(len(powers) / 3))]
    return tuple(Line(up(value), f"{value:,.0f}") for value in chosen)
