"""Which pattern of date and time a column of text is written in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import polars as pl

_LOOKED_AT = 2_000
#: A date's parts, most usual form first; two that read the same digits differently stand side by side.
_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d/%b/%Y", "%d %b %Y", "%b %d %Y", "%b %d, %Y", "%d%b%Y", "%d.%m.%y", "%d/%m/%y", "%m/%d/%y",
    "%d-%m-%y",
    "%m-%d-%y", "%d-%b-%y", "%y%m%d",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%I:%M:%S%p", "%I:%M%p", "%H.%M.%S", "%H.%M",
           "%H%M%S", "%H%M")  # fmt: skip
_JOINTS = (" ", "T", "", ", ", "  ", "-", ":")
_ZONES = ("", "Z", " UTC", " GMT", "%z", " %z")
#: What a directive looks like.
_LOOKS = {
    "%Y": r"(?:19|20)[0-9]{2}", "%y": "[0-9]{2}", "%m": "(?:1[0-2]|0?[1-9])", "%d": "(?:[12][0-9]|3[01]|0?[1-9])",
    "%b": "[A-Za-z]{3}", "%H": "(?:[01][0-9]|2[0-3]|[0-9])", "%I": "(?:1[0-2]|0?[1-9])", "%M": "[0-5][0-9]",
    "%S": "[0-5][0-9]",
    "%.f": r"(?:\.[0-9]{1,9})?", "%p": "(?:[AaPp][Mm])", "%z": "[+-][0-9]{2}:?[0-9]{2}",
}  # fmt: skip
_TOKEN = re.compile(r"%\.f|%[A-Za-z]")


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

    @property
    def has_date(self) -> bool:
        """Whether it tells the day."""
        return "%d" in self.pattern


def look(pattern: str) -> str:
    """A regular expression (Rust's and Python's) of what a pattern looks like."""
    parts, end = [], 0
    for token in _TOKEN.finditer(pattern):
        parts += [re.escape(pattern[end : token.start()]), _LOOKS[token[0]]]
        end = token.end()
    return f"^{''.join(parts)}{re.escape(pattern[end:])}$"


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


def parsed(cells: pl.Series, pattern: str) -> pl.Series:
    """Microseconds since 1970 of text in a pattern, any zone left aside; null where a cell does not fit."""
    if "%d" not in pattern:
        return cells.str.to_time(pattern, strict=False).cast(pl.Int64) // 1_000
    if "%H" not in pattern and "%I" not in pattern:
        return cells.str.to_date(pattern, strict=False).cast(pl.Datetime("us")).cast(pl.Int64)
    bare = re.sub(r" ?%z$", "", pattern)
    text = cells.str.replace(r" ?[+-][0-9]{2}:?[0-9]{2}$", "") if bare != pattern else cells
    return text.str.to_datetime(bare, strict=False, time_unit="us").cast(pl.Int64)


def _find(cells: pl.Series, dates: tuple[str, ...]) -> Pattern | None:
    sample = cells.head(_LOOKED_AT)
    if len(sample) == 0:
        return None
    first = sample[0]
    fitting = [date + rest for date in dates for rest in _rests(first, date)]
    fitting = [p for p in fitting if sample.str.contains(look(p)).all() and not parsed(sample, p).has_nulls()]
    if not fitting:
        return None
    best = fitting[0]
    rivals = [p for p in fitting[1:] if _swapped(p) == best]
    if not rivals:
        return Pattern(best)
    times = {p: parsed(cells, p) for p in (best, rivals[0])}
    whole = [p for p, found in times.items() if not found.has_nulls()]
    if len(whole) == 1:
        return Pattern(whole[0])
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
    begins = re.match(look(date)[:-1], cell)
    if begins is None:
        return []
    rest = cell[begins.end() :]
    return [clock for clock, form in _clocks(with_date=bool(date)) if form.match(rest)]


@lru_cache
def _clocks(*, with_date: bool) -> list[tuple[str, re.Pattern[str]]]:
    joints = _JOINTS if with_date else ("",)
    found = ["".join(parts) for parts in product(joints, _CLOCKS, _ZONES if with_date else ("",))]
    return [(pattern, re.compile(look(pattern))) for pattern in ([""] if with_date else []) + found]
