"""A moment, as people name it; times in tables and requests are tested with :mod:`models.parsing`."""

from __future__ import annotations

import pytest

from models.times import TIME_EXPECTED, moment


def test_a_moment_is_a_time_or_a_duration() -> None:
    assert moment("2026-01-31T08:15:00Z") == moment("2026-01-31T08:15:00") == 1_769_847_300_000_000
    assert moment("1d") - moment("2d") == pytest.approx(86_400_000_000, abs=5_000_000)
    with pytest.raises(ValueError, match=TIME_EXPECTED["iso8601-utc"]):
        moment("yesterday")


def test_a_zone_may_be_asked_for() -> None:
    assert moment("2026-01-31T09:15:00+01:00", "iso8601") == 1_769_847_300_000_000
    with pytest.raises(ValueError, match="with a zone"):
        moment("2026-01-31T08:15:00", "iso8601")
