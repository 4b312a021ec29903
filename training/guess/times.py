"""When a payment happened: one column of times, several that make one together, or a count of steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from models.forms.time_patterns import DAY
from models.reading.causes import Causes
from models.reading.labels import read_label_times, read_labels
from models.rows import AT_ONCE, FRAUD
from models.schema import Cycle, IgnoreColumn, LabelColumn, LabelTimestampColumn, TimestampColumn
from models.times import column_times, joined_times
from training.guess import names
from training.guess.facts import Facts
from training.guess.moments import Pattern, find_clock, find_pattern
from training.guess.table import Confidence, Guess, Table

_ISO = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?"
_ZONE = r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
#: Seconds since 1970 of the years that payments are from, 2000 to 2100, and how often each unit has them.
_EPOCHS = (("epoch-s", 1.0), ("epoch-ms", 1e3), ("epoch-us", 1e6))
_FROM, _UNTIL = 9.46e8, 4.1e9
#: The same years in days since the end of 1899.
_EXCEL_FROM, _EXCEL_UNTIL = 36_526, 73_051
_HOUR_SECONDS, _DAY_SECONDS, _MONTH_SECONDS = 3_600, 86_400, 30 * 86_400
_ZONES = {
    "eastern": "America/New_York", "central time": "America/Chicago", "mountain": "America/Denver",
    "pacific": "America/Los_Angeles",
    "utc": "UTC", "gmt": "UTC", "cet": "Europe/Berlin", "cest": "Europe/Berlin", "est": "America/New_York",
    "edt": "America/New_York",
    "pst": "America/Los_Angeles", "pdt": "America/Los_Angeles", "cst": "America/Chicago", "cdt": "America/Chicago",
    "mst": "America/Denver", "mdt": "America/Denver", "bst": "Europe/London", "ist": "Asia/Kolkata",
    "aest": "Australia/Sydney", "jst": "Asia/Tokyo", "berlin": "Europe/Berlin", "london": "Europe/London",
    "paris": "Europe/Paris",
}  # fmt: skip


def find_time(table: Table) -> None:
    """Take the time of the payment; leave other times out."""
    table.zone = _zone(table)
    for find in (_single, _split, _calendar, _elapsed, _steps):
        if guess := find(table):
            table.take(guess, *guess.reads)
            break
    for facts in table.candidates(_is_zone):
        table.take(Guess(facts.name, IgnoreColumn(), "says the zone of the times"))


def find_label_time(table: Table) -> None:
    """Take the column that says since when fraud was known, where one does: some of it within the table's own time."""
    label, time = table.find(LabelColumn), table.find(TimestampColumn)
    if not label or not time or not table.has_calendar:
        return
    for facts in table.candidates(lambda facts: names.has(facts.name, names.LABEL_TIME)):
        form = _form(facts, table)
        if form is None:
            continue
        shape = {**form[0].model_dump(mode="json", exclude={"cycles"}), "kind": "label_timestamp"}
        guess = Guess(facts.name, LabelTimestampColumn.model_validate(shape), form[1], form[2], (facts.name,))
        if days := days_until_known(table, guess):
            reason = f"since when fraud was known, nine in ten within {days:.0f} days; {guess.reason}"
            table.take(replace(guess, reason=reason))
            return


def days_until_known(table: Table, since: Guess) -> float | None:
    """In how many days nine of ten frauds were known; None where the times are not those of labels.

    An export's own date in every row, for one, would let no fraud be known while it matters.
    """
    causes = Causes(table.sample.height)
    label, time = table.find(LabelColumn)[0], table.find(TimestampColumn)[0]
    assert isinstance(since.column, LabelTimestampColumn)
    assert isinstance(label.column, LabelColumn)
    assert isinstance(time.column, TimestampColumn)
    known = read_label_times(since.name, since.column, table.cells(since), causes)
    fraud = read_labels(label.name, label.column, table.cells(label), causes).to_numpy() == FRAUD
    paid = column_times(time.name, time.column, joined_times(time.column, table.cells(time))).fill_null(0).to_numpy()
    told = fraud & (known != AT_ONCE)
    known, of_fraud = known[told], paid[told]
    if not len(known) or (known < paid.max()).mean() < 0.5 or (known < of_fraud).mean() > 0.05:
        return None
    return max(1.0, float(np.ceil(np.quantile(known - of_fraud, 0.9) / DAY)))


def _single(table: Table) -> Guess | None:
    """One column that tells day and time, the most telling name first; a day alone only where no clock is beside it."""
    found: list[tuple[tuple[bool, bool, bool, bool], Guess]] = []
    for facts in table.candidates(lambda facts: facts.missing == 0 and not names.has(facts.name, names.BIRTH)):
        form = _form(facts, table)
        if form is None:
            continue
        column, reason, confidence, has_clock = form
        named = names.has(facts.name, names.TIME) or facts.cells.dtype.is_temporal()
        other = names.has(facts.name, names.OTHER_TIME)
        rank = (other, not has_clock, not named, not names.is_any(facts.name, names.TIME))
        guess = Guess(facts.name, column, reason, "doubtful" if other else confidence, (facts.name,))
        found.append((rank, guess))
    if not found:
        return None
    rank, guess = min(found, key=lambda pair: pair[0])
    return guess if not rank[1] or not _clock(table) else None


def _form(facts: Facts, table: Table) -> tuple[TimestampColumn, str, Confidence, bool] | None:
    kind = facts.cells.dtype
    if isinstance(kind, pl.Datetime):
        zoned = kind.time_zone is not None
        return _iso(zoned=zoned), "holds times" + ("" if zoned else " without a zone: taken as UTC"), "sure", True
    if not isinstance(kind, pl.String | pl.Date) and not kind.is_numeric():
        return None
    if facts.matches(_ISO + _ZONE + "$"):
        return _iso(zoned=True), "ISO 8601 with a zone", "sure", True
    if facts.matches(_ISO + _ZONE + "?$") and table.zone == "UTC":
        return _iso(zoned=False), "ISO 8601 without a zone: taken as UTC", "likely", True
    if facts.numbers is not None and not names.has(facts.name, names.AMOUNT):
        if excel := _excel(facts):
            return excel
        for form, unit in (
            _EPOCHS if names.has(facts.name, (*names.TIME, "unix", "epoch")) and len(facts.numbers) else ()
        ):
            if _FROM * unit < facts.numbers.min() and facts.numbers.max() < _UNTIL * unit:
                return TimestampColumn(format=form), f"numbers as of {form} since 1970", "likely", True
        if not facts.digits_only or facts.distinct < 2 or not _long_enough(facts):
            return None
    if without_year := _without_year(facts, table):
        return without_year
    pattern = find_pattern(facts.present)
    return None if pattern is None else (*_patterned(pattern, table), pattern.has_clock)


def _iso(*, zoned: bool) -> TimestampColumn:
    return TimestampColumn(format="iso8601" if zoned else "iso8601-utc")


def _excel(facts: Facts) -> tuple[TimestampColumn, str, Confidence, bool] | None:
    """Days since 1900 as spreadsheets count them: 45717.5 is noon of 1 March 2025."""
    found = facts.numbers
    if found is None or not len(found) or not names.has(facts.name, names.TIME) or facts.distinct < 2:
        return None
    if not _EXCEL_FROM <= found.min() <= found.max() < _EXCEL_UNTIL:
        return None
    cycles: tuple[Cycle, ...] = ("weekday",) if facts.whole else ("hour", "weekday")
    return (
        TimestampColumn(format="excel", cycles=cycles),
        "days as a spreadsheet counts them",
        "likely",
        not facts.whole,
    )


def _long_enough(facts: Facts) -> bool:
    """Whether digits alone may be a date: all of one length, and named as a time."""
    lengths = facts.present.str.len_chars().unique().to_list()
    return len(lengths) == 1 and lengths[0] in (6, 8, 10, 12, 14) and names.has(facts.name, names.TIME)


def _without_year(facts: Facts, table: Table) -> tuple[TimestampColumn, str, Confidence, bool] | None:
    """ISO 8583's data element 7: month, day, hour, minute, second."""
    if not facts.matches(r"^(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]$"):
        return None
    year = _year(table)
    column = TimestampColumn(format="%m%d%H%M%S", year=year)
    return column, f"month, day and time without a year, as in ISO 8583; {year} is only a guess", "doubtful", True


def _year(table: Table) -> int:
    """The year that another column tells, else the one before this."""
    for facts in table.facts.values():
        if names.is_any(facts.name, ("year", "jahr")) and facts.distinct == 1 and facts.digits_only:
            return int(facts.present[0])
    return datetime.now(UTC).year - 1


def _patterned(pattern: Pattern, table: Table) -> tuple[TimestampColumn, str, Confidence]:
    says_zone = any(mark in pattern.pattern for mark in ("%z", "UTC", "GMT", "Z"))
    zone = "UTC" if says_zone else table.zone
    reason = f"every cell is written as {pattern.pattern}"
    confidence: Confidence = "likely"
    if pattern.rival:
        reason += f" (or {pattern.rival}: {pattern.why})"
        confidence = "doubtful" if pattern.why.startswith("nothing") else "likely"
    if zone != "UTC":
        reason += f"; local times of {zone}"
    elif not says_zone and pattern.has_clock:
        reason += "; no zone is said: taken as UTC"
    cycles: tuple[Cycle, ...] = ("hour", "weekday") if pattern.has_clock else ("weekday",)
    return TimestampColumn(format=pattern.pattern, zone=zone, cycles=cycles), reason, confidence


def _is_zone(facts: Facts) -> bool:
    return names.has(facts.name, ("time zone", "timezone", "tz", "zeitzone")) and facts.distinct <= 30


def _zone(table: Table) -> str:
    """The zone that a column beside the times names in every row; UTC where there is none."""
    for facts in table.facts.values():
        if _is_zone(facts) and facts.distinct == 1:
            said = str(facts.present[0])
            if "/" in said and " " not in said:
                return said
            return next((zone for word, zone in _ZONES.items() if word in said.lower()), "UTC")
    return "UTC"


def _clock(table: Table) -> Facts | None:
    """A column that tells the time of day alone."""
    some = table.candidates(lambda facts: facts.missing == 0 and names.has(facts.name, names.TIME))
    return next((f for f in some if _may_be_clock(f) and find_clock(f.present)), None)


def _may_be_clock(facts: Facts) -> bool:
    """Text with a mark between hours and minutes, or just six digits: 093015."""
    return facts.cells.dtype == pl.String and (not facts.digits_only or facts.matches("^[0-9]{6}$"))


def _split(table: Table) -> Guess | None:
    """A day in one column, the time of day in another."""
    clock = _clock(table)
    if clock is None:
        return None
    days = table.candidates(lambda facts: facts.missing == 0 and facts is not clock and facts.cells.dtype == pl.String)
    for day in sorted(days, key=lambda f: names.has(f.name, names.OTHER_TIME) or not names.has(f.name, names.TIME)):
        pattern = find_pattern(day.present)
        if pattern is not None and not pattern.has_clock:
            joined = Pattern(f"{pattern.pattern} {find_clock(clock.present)}", pattern.rival, pattern.why)
            return _joined(table, joined, day.name, clock.name)
    return None


def _calendar(table: Table) -> Guess | None:
    """Year, month and day in columns of their own, perhaps with a time of day."""
    parts = [_counted(table, word) for word in (("year", "jahr"), ("month", "monat"), ("day", "tag"))]
    found = [facts.name for facts in parts if facts is not None]
    if len(found) < 3:
        return None
    pattern = "%Y %m %d"
    if clock := _clock(table):
        return _joined(table, Pattern(f"{pattern} {find_clock(clock.present)}"), *found, clock.name)
    if hours := _counted(table, ("hour", "stunde")):
        return _joined(table, Pattern(f"{pattern} %H"), *found, hours.name)
    return _joined(table, Pattern(pattern), *found)


def _counted(table: Table, phrases: tuple[str, ...]) -> Facts | None:
    """A column of digits of just this name."""
    found = table.candidates(lambda f: names.is_any(f.name, phrases) and f.digits_only and f.missing == 0)
    return found[0] if found else None


def _joined(table: Table, pattern: Pattern, *columns: str) -> Guess:
    column, reason, confidence = _patterned(pattern, table)
    whole = f"{' and '.join(columns)} together: {reason}"
    name = table.free_name("timestamp", "paid_at", "happened_at")
    return Guess(name, column.model_copy(update={"source": columns}), whole, confidence, columns)


def _elapsed(table: Table) -> Guess | None:
    """Seconds since a start that nobody says."""

    def fits(facts: Facts) -> bool:
        rising = facts.rising and facts.numbers is not None and facts.numbers[0] >= 0 and facts.missing == 0
        return rising and names.has(facts.name, ("time", "seconds", "dt", "ts", "timestamp"))

    for facts in table.candidates(fits):
        column = TimestampColumn(format="elapsed-s", cycles=())
        return Guess(facts.name, column, "rises from row to row, as seconds since a start do", "likely", (facts.name,))
    return None


def _steps(table: Table) -> Guess | None:
    """A count of hours or days."""

    def fits(facts: Facts) -> bool:
        return facts.whole and facts.rising and facts.missing == 0 and names.is_any(facts.name, names.STEP)

    for facts in table.candidates(fits):
        assert facts.numbers is not None
        seconds = _step_seconds(facts, facts.numbers.astype(np.int64))
        column = TimestampColumn(format="steps", step_seconds=seconds, cycles=())
        unit = {_HOUR_SECONDS: "hours", _DAY_SECONDS: "days", _MONTH_SECONDS: "months of 30 days"}[seconds]
        reason = f"whole numbers that rise from row to row: taken for {unit} since an unknown start"
        return Guess(facts.name, column, reason, "doubtful", (facts.name,))
    return None


def _step_seconds(facts: Facts, steps: np.typing.NDArray[np.int64]) -> int:
    """Hours have quiet nights, so some are left out; every day has payments."""
    if names.has(facts.name, ("month",)):
        return _MONTH_SECONDS
    if names.has(facts.name, ("day",)):
        return _DAY_SECONDS
    if names.has(facts.name, ("hour",)) or steps.max() - steps.min() > 400:
        return _HOUR_SECONDS
    every = len(np.unique(steps)) == steps.max() - steps.min() + 1
    return _DAY_SECONDS if every else _HOUR_SECONDS
