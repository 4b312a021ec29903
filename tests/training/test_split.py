"""Parts are consecutive in time, and labels that could not be known yet stay out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from models.errors import InvalidInput
from models.rows import AT_ONCE, FRAUD, LEGITIMATE, UNKNOWN
from models.schema import load_schema, parse_schema
from training.read import History
from training.split import MIN_CALIBRATION, MIN_TRAIN, split_history

DAY = 86_400_000_000
SCHEMA = load_schema("payments")
TIMELESS = parse_schema({"name": "t", "columns": {"a": {"kind": "numeric"}}}, source="t")


def history(days: ArrayLike, label: ArrayLike = LEGITIMATE, *, labelled: bool = True) -> History:
    """Rows at these days, in this order."""
    time = (np.asarray(days, dtype=np.float64) * DAY).astype(np.int64)
    return History(
        np.zeros((len(time), 1)), (), time, np.broadcast_to(np.asarray(label, np.int8), len(time)), labelled, {}, None
    )


@given(st.integers(200, 2_000), st.integers(0, 30), st.integers(0, 20))
def test_the_parts_are_consecutive_and_the_gap_is_the_delay(rows: int, days: int, delay: int) -> None:
    table = history(np.sort(np.random.default_rng(rows).uniform(0, days + 60, rows)))
    try:
        split = split_history(table, SCHEMA, f"{delay}d")
    except InvalidInput:
        assert delay > 0
        return
    every = np.concatenate([split.train, split.calibration, split.gap, split.test])
    np.testing.assert_array_equal(every, np.arange(rows))
    assert len(split.test) == rows // 5
    assert abs(len(split.calibration) - (len(split.train) + len(split.calibration)) / 4) < 1
    known = table.time[split.test[0]] - delay * DAY
    assert (table.time[split.calibration] <= known).all()
    assert (table.time[split.gap] > known).all()


def test_no_delay_no_gap() -> None:
    split = split_history(history(np.linspace(0, 1, 1_000)), SCHEMA, "0d")
    assert [len(part) for part in (split.train, split.calibration, split.gap, split.test)] == [600, 200, 0, 200]


def test_fraud_that_was_known_later_stays_out() -> None:
    """Known since a moment after the test part's first row: as unknown then as what the label delay leaves out."""
    table = history(np.linspace(0, 100, 1_000), np.where(np.arange(1_000) % 10 == 0, FRAUD, LEGITIMATE))
    test_start = int(table.time[800])
    known = np.full(1_000, AT_ONCE)
    known[[100, 110, 120, 130]] = test_start - 1, test_start, test_start + 1, AT_ONCE
    known[141] = test_start + 1  # legitimate: only fraud is reported
    split = split_history(replace(table, known=known), SCHEMA, "5d")
    assert split.gap.tolist() == [110, 120, *range(751, 800)]
    assert sorted([*split.train, *split.calibration]) == sorted(set(range(751)) - {110, 120})
    np.testing.assert_array_equal(split.test, np.arange(800, 1_000))


def test_without_labels_nothing_waits_for_them() -> None:
    split = split_history(history(np.linspace(0, 30, 1_000), UNKNOWN, labelled=False), SCHEMA, "7d")
    assert len(split.gap) == 0


def test_a_delay_needs_times() -> None:
    assert len(split_history(history(np.zeros(1_000)), TIMELESS, "0d").test) == 200
    with pytest.raises(InvalidInput, match="a label delay needs a timestamp column; set --label-delay 0d"):
        split_history(history(np.zeros(1_000)), TIMELESS, "7d")


@pytest.mark.parametrize("delay", ["soon", "7", "-1d", ""])
def test_a_delay_is_a_duration(delay: str) -> None:
    with pytest.raises(InvalidInput, match=r"label delay: a duration is a whole number and one of s, m, h, d, e.g. 7d"):
        split_history(history(np.linspace(0, 1, 1_000)), SCHEMA, delay)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (history([0.0]), "the train part has 1 legitimate rows of 1 rows in all, at least 50 are needed"),
        (history(np.linspace(0, 1, 80)), "the train part has 48 legitimate rows of 80 rows in all"),
        (history(np.linspace(0, 1, 1_000), FRAUD), "the train part has 0 legitimate rows of 1000 rows in all"),
        (
            history(np.linspace(0, 1, 1_000), np.repeat([LEGITIMATE, FRAUD], [610, 390])),
            "the calibration part has 10 legitimate rows of 1000 rows in all, at least 20 are needed",
        ),
    ],
)
def test_too_few_legitimate_rows_are_counted(table: History, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        split_history(table, SCHEMA, "0d")


def test_too_long_a_delay_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"the label delay of 7d left out 800 rows: try a shorter --label-delay"):
        split_history(history(np.linspace(0, 8, 1_000)), SCHEMA, "7d")


def test_the_smallest_history_that_will_do() -> None:
    known = [rows - rows // 5 for rows in range(500)]
    rows = next(n for n, k in enumerate(known) if k - k // 4 >= MIN_TRAIN and k // 4 >= MIN_CALIBRATION)
    split_history(history(np.linspace(0, 1, rows)), SCHEMA, "0d")
    with pytest.raises(InvalidInput):
        split_history(history(np.linspace(0, 1, rows - 2)), SCHEMA, "0d")
