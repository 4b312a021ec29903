"""Reasons read as a person would expect, and putting a feature back changes it alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reasons import UNSEEN, Reason, explain, largest, one_a_cause, put_back
from models.rows import Batch, Vocabulary
from models.schema import parse_schema
from models.times import parse_time

SCHEMA = parse_schema(
    {
        "name": "t",
        "columns": {
            "at": {"kind": "timestamp"},
            "amount": {"kind": "amount"},
            "currency": {"kind": "currency", "code": "EUR"},
            "age": {"kind": "numeric", "unit": "days", "nullable": True},
            "ratio": {"kind": "numeric"},
            "category": {"kind": "categorical"},
            "country": {"kind": "categorical", "nullable": True},
        },
    },
    source="t",
)
VOCABULARY = Vocabulary((("grocery", "travel"), ("DE", "")))
# Features: amount, age, ratio, category, country, at.hour, at.weekday.
TYPICAL = (25.0, 400.0, 0.5, 1.0, 1.0, 14.5, 2.0)


def reason(
    feature: str,
    *,
    numeric: tuple[float, float, float] = (25.0, 400.0, 0.5),
    categorical: tuple[int, int] = (1, 1),
    time: str = "2026-01-31T08:15:00Z",
    expected: float | None = None,
) -> Reason:
    """The reason about one feature of one row, which makes up the whole error."""
    position = SCHEMA.features.index(feature)
    batch = Batch(np.array([numeric]), np.array([categorical]), np.array([parse_time(time, "iso8601")]))
    likely = np.array([TYPICAL])
    if expected is not None:
        likely[0, position] = expected
    parts = np.zeros((1, len(TYPICAL)))
    parts[0, position] = 2.0
    [first] = explain(SCHEMA, VOCABULARY, batch, parts, likely, 0, np.array([position]))
    assert first.share == 1.0
    return first


def test_an_amount() -> None:
    found = reason("amount", numeric=(1234.5, 400.0, 0.5), expected=42.0)
    assert found.text == "amount 1,234.50 EUR, 42.00 EUR expected"
    assert (found.value, found.expected, found.direction) == (1234.5, 42.0, "higher")
    assert reason("amount", numeric=(0.01, 400.0, 0.5)).direction == "lower"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.1234567, "0.1235"), (12.0, "12"), (999.96, "1000"), (1234.5, "1,234"), (12345.678, "12,346"),
     (123456789.0, "123,456,789"), (-54321.0, "-54,321"), (1e20, "1e+20"), (1.5e-7, "1.5e-07")],
)  # fmt: skip
def test_figures_are_short_and_plain(value: float, shown: str) -> None:
    assert reason("age", numeric=(25.0, value, 0.5)).text == f"age {shown} days, 400 days expected"
    assert reason("ratio", numeric=(25.0, 400.0, value)).text == f"ratio {shown}, 0.5 expected"


def test_a_missing_number() -> None:
    found = reason("age", numeric=(25.0, np.nan, 0.5))
    assert found.text == "age is missing, 400 days expected"
    assert (found.value, found.direction) == (None, "missing")


def test_categories() -> None:
    assert reason("category", categorical=(2, 1)).text == "category travel, grocery expected"
    assert reason("category", categorical=(1, 1)).text == "category grocery does not go with the rest"
    unseen = reason("category", categorical=(0, 1))
    assert unseen.text == f"category {UNSEEN}, grocery expected"
    assert (unseen.value, unseen.expected, unseen.direction) == (UNSEEN, "grocery", "different")
    assert reason("country", categorical=(1, 2)).text == "country (missing), DE expected"
    assert reason("country", categorical=(1, 1), expected=2.0).text == "country DE, (missing) expected"


def test_hours() -> None:
    found = reason("at.hour", time="2026-01-31T04:15:59Z")
    assert found.text == "at hour (UTC) 04:15, 14:30 expected"
    assert (found.value, found.expected) == ("04:15", "14:30")
    assert reason("at.hour", time="2026-01-31T04:15:00+05:00").value == "23:15"
    assert reason("at.hour", expected=23.9999).expected == "23:59"
    assert reason("at.hour", expected=24.0).expected == "00:00"


@given(st.integers(0, 1_439))
def test_every_minute_of_the_day_is_told_exactly(minute: int) -> None:
    clock = f"{minute // 60:02d}:{minute % 60:02d}"
    assert reason("at.hour", time=f"2026-01-31T{clock}:00Z").value == clock


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)))
def test_weekdays(moment: datetime) -> None:
    found = reason("at.weekday", time=moment.isoformat() + "Z")
    assert found.text == f"at weekday (UTC) {moment:%A}" + (
        " does not go with the rest" if moment.weekday() == 2 else ", Wednesday expected"
    )


def test_reasons_come_largest_first_with_signed_shares() -> None:
    batch = Batch(np.array([[25.0, 400.0, 0.5]]), np.array([[1, 1]]), np.array([0]))
    parts = np.array([[1.0, 4.0, -1.0, 0.0, 0.0, 0.0, 0.0]])
    found = explain(SCHEMA, VOCABULARY, batch, parts, np.array([TYPICAL]), 0, largest(parts[0], 9))
    assert [entry.feature for entry in found][:2] == ["age", "amount"]
    assert found[-1].feature == "ratio"
    assert [entry.share for entry in found] == [1.0, 0.25, 0.0, 0.0, 0.0, 0.0, -0.25]
    no_error = explain(SCHEMA, VOCABULARY, batch, np.zeros((1, 7)), np.array([TYPICAL]), 0, np.array([0]))
    assert no_error[0].share == 0.0


@given(st.datetimes(datetime(1970, 1, 8), datetime(9999, 12, 20)), st.integers(0, 6), st.floats(0, 23.999))
def test_putting_back_changes_one_feature_alone(moment: datetime, weekday: int, hour: float) -> None:
    micros = parse_time(moment.isoformat() + "Z", "iso8601")
    row = Batch(np.array([[1.0, np.nan, 3.0]]), np.array([[0, 2]]), np.array([micros]))
    batch = row.take(np.zeros(7, dtype=np.int64))
    expected = np.tile(np.array([TYPICAL]), (7, 1))
    expected[:, 5], expected[:, 6] = hour, weekday
    back = put_back(SCHEMA, batch, expected, np.arange(7))
    before = [1.0, np.nan, 3.0]
    for i in range(7):
        np.testing.assert_array_equal(back.numeric[i], [TYPICAL[j] if i == j else before[j] for j in range(3)])
        np.testing.assert_array_equal(back.categorical[i], [1 if i == 3 else 0, 1 if i == 4 else 2])
    then = [datetime.fromtimestamp(t // 1_000_000, UTC) for t in back.time]
    now = then[0]
    assert (then[5].date(), then[5].hour) == (now.date(), int(hour))
    assert then[6].weekday() == weekday and then[6].time() == now.time() and abs((then[6] - now).days) < 7
    assert batch.time.tolist() == [micros] * 7  # the original is untouched


def test_features_of_one_cause_are_one_reason() -> None:
    order = np.array([4, 1, 0, 3, 2])
    assert one_a_cause(order, (0, 1, 1, 2, 1), 3).tolist() == [4, 0, 3]
    assert one_a_cause(order, (0, 1, 1, 2, 1), 2).tolist() == [4, 0]
    assert one_a_cause(order, (0, 1, 2, 3, 4), 0).tolist() == []
