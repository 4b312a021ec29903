"""Times written in a pattern as of strptime, read one at a time or a column at once.

Both ways share the regular expression and the integer arithmetic, so they agree on every text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
#: Group and pattern of each directive; a pattern of digits that may be one shorter is told by its length.
_DIRECTIVES = {
    "Y": ("year", r"[0-9]{4}"),
    "y": ("short_year", r"[0-9]{2}"),
    "m": ("month", r"[0-9]{1,2}"),
    "b": ("month_name", _MONTH),
    "d": ("day", r"[0-9]{1,2}"),
    "j": ("day_of_year", r"[0-9]{1,3}"),
    "H": ("hour", r"[0-9]{1,2}"),
    "I": ("hour12", r"[0-9]{1,2}"),
    "M": ("minute", r"[0-9]{1,2}"),
    "S": ("second", r"[0-9]{1,2}"),
    "f": ("fraction", r"[0-9]{1,9}"),
    "p": ("half", r"(?i:[ap]\.?m\.?)"),
    "z": ("zone", r"(?i:Z|UTC|GMT)|[+-][0-9]{2}:?[0-9]{2}"),
}
_SAME = {"B": "b", "h": "b", "e": "d", "-d": "d", "-m": "m", "-H": "H", "-I": "I", "-M": "M", "-S": "S", "Z": "z"}
_SHORT = {"T": "%H:%M:%S", "F": "%Y-%m-%d", "R": "%H:%M", "D": "%m/%d/%y"}
_DIGITS = "YymdjHIMSf"
_BLANK = r"[ \t\u00a0\u202f]"
_WEEKDAY = r"(?i:mon|tue|wed|thu|fri|sat|sun)[a-zA-Z]{0,6}\.?"
_TOKEN = re.compile(r"%(-?.)|(\s+)|(.)", re.DOTALL)
_KNOWN = "%Y %y %m %b %B %d %j %H %I %M %S %f %p %z %Z %a %A %T %F %R %D %%"
_MICRO_DIGITS = 6
DAY = 86_400_000_000

_Whole = TypeVar("_Whole", int, NDArray[np.int64])


@dataclass(frozen=True)
class TimePattern:
    """A compiled pattern.

    Attributes:
        regex: with a named group for each directive, for Python and for Polars.
        groups: their names.
    """

    regex: str
    groups: tuple[str, ...]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(pattern: str) -> TimePattern:
        """The pattern compiled.

        Raises:
            ValueError: an unknown directive, one there twice, or no whole date.
        """
        regex, groups = written(pattern)
        found = set(groups)
        if not ({"month", "month_name"} & found and "day" in found) and "day_of_year" not in found:
            raise ValueError("the format names no day: it needs %m and %d, or %j")
        for needed, by in (("hour12", "half"), ("half", "hour12"), ("second", "minute"), ("fraction", "second")):
            if needed in found and by not in found and not (needed == "half" and "hour" in found):
                raise ValueError("the format is not whole: %I and %p go together, %S needs %M, and %f needs %S")
        if "minute" in found and not {"hour", "hour12"} & found:
            raise ValueError("the format is not whole: %M needs %H, or %I and %p")
        if len({"year", "short_year"} & found) > 1 or len({"month", "month_name"} & found) > 1:
            raise ValueError("the format names the year or the month twice")
        return TimePattern(rf"^{_BLANK}*{regex}{_BLANK}*$", groups)

    @property
    def has_year(self) -> bool:
        """Whether the year is written."""
        return "year" in self.groups or "short_year" in self.groups

    @property
    def has_clock(self) -> bool:
        """Whether the time of day is written, and not the day alone."""
        return "hour" in self.groups or "hour12" in self.groups

    @property
    def has_zone(self) -> bool:
        """Whether the zone is written, so that times are UTC; wall time otherwise."""
        return "zone" in self.groups

    def micros(self, text: str, year: int | None = None) -> int:
        """Microseconds since 1970 of one text.

        Raises:
            ValueError: not written so, or no day of the calendar.
        """
        match = re.fullmatch(self.regex, text)
        if match is None:
            raise ValueError
        values = {name: _whole(name, match[name] or "") for name in self.groups}
        micros, valid = _assembled(values, year)
        if not valid:
            raise ValueError
        return int(micros)

    def column(self, cells: pl.Series, year: int | None = None) -> pl.Series:
        """Microseconds since 1970 of a text column; null where :meth:`micros` would raise."""
        found = cells.str.extract_groups(self.regex).struct.unnest()
        matched = found["day" if "day" in self.groups else "day_of_year"].is_not_null().to_numpy()
        values = {name: _wholes(name, found[name].fill_null("")) for name in self.groups}
        micros, valid = _assembled(values, year)
        result = pl.Series(cells.name, np.where(valid, micros, 0), dtype=pl.Int64)
        return result.set(pl.Series(~(matched & valid)), None)


def _expanded(pattern: str) -> str:
    for short, long in _SHORT.items():
        pattern = pattern.replace(f"%{short}", long)
    return pattern


def written(pattern: str) -> tuple[str, tuple[str, ...]]:
    """A regular expression, for Python and for Polars, of what a pattern or a part of one looks like, and its groups.

    Raises:
        ValueError: an unknown directive, or one there twice.
    """
    pattern = _expanded(pattern)
    tokens = [(_SAME.get(word, word), blank, other) for word, blank, other in _TOKEN.findall(pattern)]
    parts: list[str] = []
    groups: list[str] = []
    for place, (word, blank, other) in enumerate(tokens):
        if blank:
            parts.append(f"{_BLANK}+")
        elif other:
            optional = other == "." and place + 1 < len(tokens) and tokens[place + 1][0] == "f"
            parts.append(r"(?:\." if optional else re.escape(other))
        elif word == "%":
            parts.append("%")
        elif word in "aA":
            parts.append(_WEEKDAY)
        elif word not in _DIRECTIVES:
            raise ValueError(f"the format holds a directive that is none of {_KNOWN}")
        else:
            name, digits = _DIRECTIVES[word]
            if name in groups:
                raise ValueError("the format holds a directive twice")
            if digits.endswith("{1,2}") and place and tokens[place - 1][0] and tokens[place - 1][0] in _DIGITS:
                digits = r"[0-9]{2}"
            elif digits.endswith("{1,3}") and place and tokens[place - 1][0] and tokens[place - 1][0] in _DIGITS:
                digits = r"[0-9]{3}"
            groups.append(name)
            ends_fraction = word == "f" and place and tokens[place - 1][2] == "."
            parts.append(f"(?P<{name}>{digits})" + (")?" if ends_fraction else ""))
    return "".join(parts), tuple(groups)


def _whole(name: str, text: str) -> int:
    """One group as a whole number; a zone in minutes."""
    match name:
        case "month_name":
            return _MONTHS.index(text[:3].lower()) + 1
        case "half":
            return int(text[:1].lower() == "p")
        case "fraction":
            return int(text[:_MICRO_DIGITS].ljust(_MICRO_DIGITS, "0"))
        case "zone":
            if not text or text[0] not in "+-":
                return 0
            hours, minutes = int(text[1:3]), int(text[-2:])
            return 10_000 if hours > 14 or minutes > 59 else (hours * 60 + minutes) * (-1 if text[0] == "-" else 1)
        case _:
            return int(text or "0")


def _wholes(name: str, texts: pl.Series) -> NDArray[np.int64]:
    """:func:`_whole` of a column; a text that did not match is "", and counts as any number."""
    if name in ("month_name", "half", "fraction", "zone"):
        known = texts.unique()
        values = [_whole(name, text) if text or name not in ("month_name",) else 0 for text in known]
        texts = texts.replace_strict(known, pl.Series(values, dtype=pl.Int64), return_dtype=pl.Int64)
    else:
        texts = texts.cast(pl.Int64, strict=False).fill_null(0)
    numbers: NDArray[np.int64] = texts.to_numpy()
    return numbers


def _days(year: _Whole, month: _Whole, day: _Whole) -> _Whole:
    """Days since 1970-01-01 in the Gregorian calendar (H. Hinnant, days_from_civil)."""
    shifted: _Whole = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    days: _Whole = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return days


def _assembled(values: Mapping[str, Any], year: int | None) -> tuple[Any, Any]:
    """Microseconds since 1970 and whether they are a time, of whole numbers or of arrays of them."""
    get = values.get
    zero = next(iter(values.values())) * 0
    y = get("year", zero + (year or 0))
    if "short_year" in values:
        y = values["short_year"] + 1900 + 100 * (values["short_year"] < 69)  # as POSIX: 69 to 99 are 19xx
    valid = y >= 1
    if "day_of_year" in values:
        of_year = values["day_of_year"]
        days = _days(y, zero + 1, zero + 1)
        valid = valid & (of_year >= 1) & (of_year <= _days(y + 1, zero + 1, zero + 1) - days)
        days = days + of_year - 1
    else:
        month, day = get("month", get("month_name")), values["day"]
        valid = valid & (month >= 1) & (month <= 12)
        days = _days(y, month, zero + 1)
        next_month = _days(y + (month == 12), month % 12 + 1, zero + 1)
        valid = valid & (day >= 1) & (day <= next_month - days)
        days = days + day - 1
    hour = get("hour", zero)
    if "hour12" in values:
        hour12 = values["hour12"]
        valid = valid & (hour12 >= 1) & (hour12 <= 12)
        hour = hour12 % 12 + 12 * values["half"]
    elif "half" in values:  # 13:00 PM is written now and then; 01:00 PM was meant for %I
        valid = valid & ((hour >= 12) == (values["half"] == 1))
    minute, second, offset = get("minute", zero), get("second", zero), get("zone", zero)
    valid = valid & (hour <= 23) & (minute <= 59) & (second <= 59) & (offset <= 14 * 60 + 59)
    seconds = ((hour * 60) + minute - offset) * 60 + second
    return days * DAY + seconds * 1_000_000 + get("fraction", zero), valid
