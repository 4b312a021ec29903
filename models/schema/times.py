"""The declaration of times: the kinds ``timestamp`` and ``label_timestamp``, and the forms their values may have."""

from __future__ import annotations

from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from models.forms.time_patterns import DAY, TimePattern
from models.schema.base import MOST_FIELDS, BaseColumn

Cycle = Literal["hour", "weekday"]
#: Formats by name; every other one is a pattern such as ``%d.%m.%Y %H:%M``.
NAMED_FORMATS = ("iso8601", "iso8601-utc", "epoch-s", "epoch-ms", "epoch-us", "excel", "elapsed-s", "steps")


def check_time_form(form: str, zone: str, year: int | None = None) -> None:
    """Check a format and a zone.

    Raises:
        ValueError: saying what is wrong with them.
    """
    if "%" in form:
        pattern = TimePattern.of(form)
        if pattern.has_year == (year is not None):
            raise ValueError(
                "year belongs to a format without %Y" if year else "the format has no %Y: declare the year, year = 2026"
            )
        if pattern.has_zone and zone != "UTC":
            raise ValueError("the format has %z, which says the zone: leave zone out")
    elif form not in NAMED_FORMATS:
        raise ValueError(f"format is one of {', '.join(NAMED_FORMATS)}, or a pattern such as %d.%m.%Y %H:%M")
    elif zone != "UTC":
        raise ValueError(f"format '{form}' has no local times: leave zone out")
    elif year is not None:
        raise ValueError("year belongs to a pattern without %Y")
    try:
        ZoneInfo(zone)
    except (OSError, ValueError):
        raise ValueError("zone is no name of the tz database, e.g. Europe/Berlin") from None


class TimeColumn(BaseColumn):
    """A time, in one of the forms that a file may have.

    ``iso8601`` wants a zone; ``iso8601-utc`` takes a missing zone as UTC; ``epoch-s``, ``epoch-ms`` and ``epoch-us``
    are numbers since 1970; ``excel`` is days as a spreadsheet counts them, in UTC; ``elapsed-s`` is seconds since an
    unknown start; ``steps`` counts steps of ``step_seconds`` from ``start``, or from an unknown one. Any other format
    is a pattern as of strptime, read in ``zone``. ISO 8601 with a zone is accepted in every form that has a calendar.

    Attributes:
        source: several fields are read with one blank between them.
        zone: of the tz database. A time that a change of the clocks leaves out counts as the hour after it, one that
            it repeats as the first.
        year: of patterns without one.
    """

    format: str = Field(default="iso8601", max_length=64)
    zone: str = Field(default="UTC", max_length=64)
    year: int | None = Field(default=None, ge=1970, le=9998)
    step_seconds: int | None = Field(default=None, ge=1, le=366 * 86_400)
    start: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        self.check_sources(MOST_FIELDS)
        if len(self.source) > 1 and "%" not in self.format:
            raise ValueError("several fields need a format that is a pattern, e.g. %Y-%m-%d %H:%M")
        check_time_form(self.format, self.zone, self.year)
        if (self.format == "steps") != (self.step_seconds is not None):
            raise ValueError("format 'steps' and step_seconds go together")
        if self.start and self.format != "steps":
            raise ValueError("start belongs to format 'steps'")
        if self.start:
            self.start_micros  # noqa: B018 - raises
        return self

    @property
    def elapsed(self) -> bool:
        """Whether times count from an unknown start, so that no clock can be compared with them."""
        return self.format == "elapsed-s" or (self.format == "steps" and not self.start)

    @property
    def start_micros(self) -> int:
        """Microseconds since 1970 of the step 0; 0 where the start is unknown.

        Raises:
            ValueError: start is no time.
        """
        if not self.start:
            return 0
        try:
            moment = TimePattern.of("%Y-%m-%dT%H:%M:%S%z").micros(self.start)
        except ValueError:
            raise ValueError("start is an ISO 8601 time with a zone, e.g. 2026-01-31T00:00:00Z") from None
        return moment

    @property
    def formed(self) -> bool:
        return bool(self.source) or "%" in self.format or self.format in ("epoch-us", "excel", "steps")

    def plain(self) -> BaseColumn:
        changed = {"source": (), "zone": "UTC", "year": None, "step_seconds": None, "start": ""}
        return self.model_copy(update={**changed, "format": "elapsed-s" if self.elapsed else "iso8601"})


class TimestampColumn(TimeColumn):
    """When the transaction happened. Orders the rows; its cycles (UTC) are features."""

    kind: Literal["timestamp"] = "timestamp"
    cycles: tuple[Cycle, ...] = ("hour", "weekday")

    @field_validator("cycles", mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _calendar(self) -> Self:
        if self.elapsed and self.cycles:
            raise ValueError(f"format '{self.format}' has no calendar: set cycles = []")
        return self


class LabelTimestampColumn(TimeColumn):
    """Since when the label was known: the day of a dispute, for one. Never sent for scoring; may be empty.

    A day without a time of day counts from its end on: nobody knew at its beginning.
    """

    kind: Literal["label_timestamp"] = "label_timestamp"

    @property
    def to_end(self) -> int:
        """Microseconds from what is read to the moment that is meant."""
        day_only = "%" in self.format and not TimePattern.of(self.format).has_clock
        return DAY if day_only else 0
