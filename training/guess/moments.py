"""Which pattern of date and time a column of text is written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import polars as pl

from models.forms.time_patterns import written
from models.times import pattern_times

_LOOKED_AT = 2_000
#: A date's parts, most usual form first; two that read the same digits differently stand side by side.
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d/%b/%Y", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d%b%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
    "%d-%m-%y",
    "%m-%d-%y", "%d-%b-%y", "%y%m%d", "%Y年%m月%d日",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H.%M.%S", "%H.%M",
           "%H%M%S", "%H%M",
           "%H時%M分", "%H時%M分%S秒")  # fmt: skip
_JOINTS = (" ", "T", "", ", ", "  ", "-", ":")
_ZONES = ("", "Z", " UTC", " GMT", "%z", " %z")
#: Times outside these years are none of payments, cards or births: digits that only look like one.
_FIRST, _LAST = -2_208_988_800_000_000, 4_102_444_800_000_000
_DAY_OF_CLOCKS = "2000-01-01 "


@dataclass(frozen=True)
class Pattern:
    """How a column's times are written.

    Attributes:
        pattern: in the directives of strptime.
        rival: another pattern that every cell fits as well: day and month may stand the other way round.
        why: what spoke for this one, where there was a rival.
    """

    pattern: str
    rival: str = ""
    why: str = ""

    @property
    def has_clock(self) -> bool:
        """Whether it tells the time of day."""
        return "%H" in self.pattern or "%I" in self.pattern


def find_pattern(cells: pl.Series) -> Pattern | None:
    """The pattern of date, with or without a time of day, that every cell fits; None where there is none.

    Where day and month can be read both ways, the reading in which the rows are in order of time is taken, then the one
    that spans less time; what spoke for it is told.
    """
    return _find(cells, _DATES)


def find_clock(cells: pl.Series) -> str | None:
    """The pattern of a time of day alone."""
    found = _find(cells, ("",))
    return found.pattern if found else None


def _read(cells: pl.Series, pattern: str) -> pl.Series | None:
    """Microseconds since 1970 of text in a pattern, by the reader of profiles; None where a cell is no such time."""
    if "%d" in pattern:
        found = pattern_times(pattern, "UTC", None, cells)
    else:
        found = pattern_times(f"%Y-%m-%d {pattern}", "UTC", None, _DAY_OF_CLOCKS + cells)
    return None if found.has_nulls() or found.min() < _FIRST or found.max() >= _LAST else found  # type: ignore[operator]


def _find(cells: pl.Series, dates: tuple[str, ...]) -> Pattern | None:
    sample = cells.head(_LOOKED_AT)
    if len(sample) == 0:
        return None
    first = sample[0]
    fitting = [date + rest for date in dates for rest in _rests(first, date)]
    fitting = [p for p in fitting if _read(sample, p) is not None]
    if not fitting:
        return None
    best = fitting[0]
    rivals = [p for p in fitting[1:] if _swapped(p) == best]
    if not rivals:
        return Pattern(best)
    times = {p: found for p in (best, rivals[0]) if (found := _read(cells, p)) is not None}
    if len(times) < 2:
        return Pattern(next(iter(times), best))
    ordered = [p for p, found in times.items() if found.is_sorted() or found.is_sorted(descending=True)]
    other = {best: rivals[0], rivals[0]: best}
    if len(ordered) == 1:
        return Pattern(ordered[0], other[ordered[0]], "read so, the rows are in order of time")
    spans = {p: int(found.max()) - int(found.min()) for p, found in times.items()}  # type: ignore[arg-type]
    chosen = min(spans, key=lambda p: spans[p])
    if spans[chosen] < 0.8 * spans[other[chosen]]:
        return Pattern(chosen, other[chosen], "read so, the rows lie closer together in time")
    return Pattern(best, rivals[0], "nothing tells day and month apart")


def _swapped(pattern: str) -> str:
    return pattern.replace("%d", "%?").replace("%m", "%d").replace("%?", "%m")


def _rests(cell: str, date: str) -> list[str]:
    """What may follow a date's pattern so that the whole fits a cell."""
    begins = re.match(written(date)[0], cell)
    if begins is None:
        return []
    rest = cell[begins.end() :]
    return [clock for clock, form in _clocks(with_date=bool(date)) if form.fullmatch(rest)]


@lru_cache
def _clocks(*, with_date: bool) -> list[tuple[str, re.Pattern[str]]]:
    joints = _JOINTS if with_date else ("",)
    found = ["".join(parts) for parts in product(joints, _CLOCKS, _ZONES if with_date else ("",))]
    return [(pattern, re.compile(written(pattern)[0])) for pattern in ([""] if with_date else []) + found]
