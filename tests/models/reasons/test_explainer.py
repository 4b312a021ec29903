"""Reasons read as a person would expect, and putting a feature back changes it alone."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reasons import UNSEEN, Explainer, Reason, largest, put_back
from models.rows import Batch, Vocabulary
from models.schema import load_schema, parse_schema
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
    first = Explainer(SCHEMA, VOCABULARY).reason(batch, 0, parts[0], likely[0], SCHEMA.causes[position])
    assert first.share == 1.0
    return first


def test_an_amount() -> None:
    found = reason("amount", numeric=(1234.5, 400.0, 0.5), expected=42.0)
    assert found.text == "amount 1,234.50 EUR, usually about 42"
    assert (found.value, found.expected, found.direction) == (1234.5, 42.0, "higher")
    assert reason("amount", numeric=(0.01, 400.0, 0.5)).direction == "lower"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (-0.0, "0"), (0.1234567, "0.1235"), (12.0, "12"), (999.96, "1000"), (1234.5, "1,234"),
     (12345.678, "12,346"), (123456789.0, "123,456,789"), (-54321.0, "-54,321"), (1e20, "1e+20"), (1.5e-7, "1.5e-07"),
     (4111111111111111.0, "4.111e+15")],
)  # fmt: skip
def test_figures_are_short_and_plain(value: float, shown: str) -> None:
    assert reason("age", numeric=(25.0, value, 0.5)).text == f"age {shown} days, usually about 400"
    assert reason("ratio", numeric=(25.0, 400.0, value)).text == f"ratio {shown}, usually about 0.5"


def test_a_missing_number() -> None:
    found = reason("age", numeric=(25.0, np.nan, 0.5))
    assert found.text == "age is missing, usually about 400 days"
    assert (found.value, found.direction) == (None, "missing")


def test_categories() -> None:
    assert reason("category", categorical=(2, 1)).text == "category travel, usually grocery"
    assert reason("category", categorical=(1, 1)).text == "category grocery does not go with the rest"
    unseen = reason("category", categorical=(0, 1))
    assert unseen.text == "category not seen in training, usually grocery"
    assert (unseen.value, unseen.expected, unseen.direction) == (UNSEEN, "grocery", "different")
    missing = reason("country", categorical=(1, 2))
    assert (missing.text, missing.value) == ("country missing, usually DE", "(missing)")
    assert reason("country", categorical=(1, 1), expected=2.0).text == "country DE, usually missing"


def test_hours() -> None:
    found = reason("at.hour", time="2026-01-31T04:15:59Z")
    assert found.text == "paid at 04:15 UTC, usually around 15:00"
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
    assert found.text == f"paid on a {moment:%A} (UTC)" + (
        " does not go with the rest" if moment.weekday() == 2 else ", usually on a Wednesday"
    )


def test_shares_are_signed_and_none_without_an_error() -> None:
    batch = Batch(np.array([[25.0, 400.0, 0.5]]), np.array([[1, 1]]), np.array([0]))
    parts = np.array([1.0, 4.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    tell = Explainer(SCHEMA, VOCABULARY)
    assert largest(tell.parts(parts), 9).tolist() == [1, 0, 3, 4, 5, 6, 2]
    found = [tell.reason(batch, 0, parts, np.array(TYPICAL), cause).share for cause in (1, 0, 2)]
    assert found == [1.0, 0.25, -0.25]
    assert tell.reason(batch, 0, np.zeros(7), np.array(TYPICAL), 0).share == 0.0


@given(st.datetimes(datetime(1970, 1, 8), datetime(9999, 12, 20)), st.integers(0, 6), st.floats(0, 23.999))
def test_putting_back_changes_one_feature_alone(moment: datetime, weekday: int, hour: float) -> None:
    micros = parse_time(moment.isoformat() + "Z", "iso8601")
    row = Batch(np.array([[1.0, np.nan, 3.0]]), np.array([[0, 2]]), np.array([micros]))
    batch = row.take(np.zeros(7, dtype=np.int64))
    expected = np.tile(np.array([TYPICAL]), (7, 1))
    expected[:, 5], expected[:, 6] = hour, weekday
    back = put_back(SCHEMA, batch, expected, np.eye(7, dtype=bool))
    before = [1.0, np.nan, 3.0]
    for i in range(7):
        np.testing.assert_array_equal(back.numeric[i], [TYPICAL[j] if i == j else before[j] for j in range(3)])
        np.testing.assert_array_equal(back.categorical[i], [1 if i == 3 else 0, 1 if i == 4 else 2])
    then = [datetime.fromtimestamp(t // 1_000_000, UTC) for t in back.time]
    now = then[0]
    assert (then[5].date(), then[5].hour) == (now.date(), int(hour))
    assert then[6].weekday() == weekday and then[6].time() == now.time() and abs((then[6] - now).days) < 7
    assert batch.time.tolist() == [micros] * 7  # the original is untouched


PLACED = parse_schema(
    {
        "name": "t",
        "entity": {"card": {"key": "card", "windows": ["1d", "7d"], "features": ["count", "km_from_usual"]}},
        "columns": {
            "at": {"kind": "timestamp", "cycles": []},
            "card": {"kind": "entity"},
            "latitude": {"kind": "numeric", "minimum": -90.0, "maximum": 90.0, "nullable": True},
            "longitude": {"kind": "numeric", "minimum": -180.0, "maximum": 180.0},
        },
    },
    source="t",
)


def _told(*, counts: tuple[float, float], place: tuple[float, float], usual_km: float) -> list[Reason]:
    """Of a payment expected at 48 degrees north, 11 east, with 1 and 5 before it."""
    row = [*place, *counts, usual_km, 0.0]
    assert PLACED.features == (
        "latitude",
        "longitude",
        "card.count_1d",
        "card.count_7d",
        "card.km_from_usual",
        "card.is_new",
    )
    batch = Batch(np.array([row]), np.empty((1, 0), np.int64), np.array([0]))
    parts, expected = np.array([0.5, 0.5, 1.0, 3.0, 4.0, 0.0]), np.array([48.0, 11.0, 1.0, 5.0, 3.0, 0.0])
    tell = Explainer(PLACED, Vocabulary(()))
    return [tell.reason(batch, 0, parts, expected, cause) for cause in largest(tell.parts(parts), 2).tolist()]


def test_windows_of_one_word_are_one_reason() -> None:
    _, count = _told(counts=(9.0, 40.0), place=(48.0, 11.0), usual_km=0.0)
    assert (count.feature, count.value, count.expected) == ("card.count_7d", 40.0, 5.0)
    assert count.share == pytest.approx(4 / 9)
    assert count.text == "40 payments with this card in the last 7 days, usually 5"


def test_a_place_is_told_by_its_distance() -> None:
    far, _ = _told(counts=(1.0, 5.0), place=(-33.9, 151.2), usual_km=16_321.0)
    assert (far.feature, far.value) == ("card.km_from_usual", 16_321.0)
    assert far.share == pytest.approx(5 / 9)
    assert far.text == "16,000 km from the usual places of this card, usually about 3"


def test_a_place_that_is_usual_for_the_card_is_told_by_the_expected_one() -> None:
    odd, _ = _told(counts=(1.0, 5.0), place=(-33.9, 151.2), usual_km=0.2)
    assert (odd.feature, odd.expected, odd.direction) == ("latitude/longitude", 0.0, "different")
    assert odd.value == pytest.approx(16_300, rel=0.01)
    assert odd.text == "16,000 km from where such payments usually are"
    missing, _ = _told(counts=(1.0, 5.0), place=(np.nan, 151.2), usual_km=0.0)
    assert (missing.value, missing.direction, missing.text) == (None, "missing", "place of the payment is missing")


def test_of_one_cause_what_is_not_as_expected_speaks() -> None:
    schema = load_schema("payments")
    explainer = Explainer(schema, Vocabulary((("travel",), ("chip",), ("PT",))))
    batch = Batch(np.ones((1, len(schema.numeric))), np.ones((1, 3), np.int64), np.zeros(1, np.int64))
    cause = schema.causes[schema.features.index("amount")]
    ratio = schema.features.index("card.ratio_to_mean_7d")
    batch.numeric[0, schema.numeric.index("amount")], batch.numeric[0, ratio] = 743.14, 26.0
    batch.numeric[0, schema.numeric.index("card.is_new")] = 0.0
    parts, expected = np.zeros(len(schema.features)), np.ones(len(schema.features))
    parts[schema.features.index("amount")], parts[ratio] = 3.0, 1.0
    expected[schema.features.index("amount")] = 680.0
    told = explainer.reason(batch, 0, parts, expected, cause)
    assert told.share == 1.0
    assert told.text == "amount is 26 times the mean of this card in the last 7 days, usually about 1"
    expected[ratio] = 26.0
    assert explainer.reason(batch, 0, parts, expected, cause).text == "amount 743.14 EUR does not go with the rest"
