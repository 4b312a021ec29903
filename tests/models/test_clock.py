"""History held to the clock."""

from __future__ import annotations

import numpy as np
import pytest

from models.clock import TOLERANCE, ahead
from models.schema import load_schema

NOW = 1_800_000_000.0


@pytest.mark.parametrize(("seconds", "late"), [(0, 0), (TOLERANCE, 0), (TOLERANCE + 1, 1), (36 * 365 * 86_400, 1)])
def test_the_last_rows_may_be_ahead(seconds: int, late: int) -> None:
    times = np.array([0, NOW * 1e6, (NOW + seconds) * 1e6], np.int64)
    assert ahead(load_schema("payments"), times, NOW) == late


def test_times_that_are_none_of_the_calendar_are_left_alone() -> None:
    assert ahead(load_schema("ulb"), np.array([2**62]), NOW) == 0
