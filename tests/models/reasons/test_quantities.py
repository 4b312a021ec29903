"""Quantities are said as people say them, and never as digits that could be a card number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reasons import quantities as q


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.0123, "0.012"), (3.49, "3.5"), (3.0, "3"), (9.96, "10"), (35.4, "35"), (99.6, "100"),
     (1_234.0, "1,200"), (-35.4, "-35"), (6_312.0, "6,300"), (1e-9, "1.0e-09"), (3e14, "3.0e+14")],
)  # fmt: skip
def test_two_digits(value: float, shown: str) -> None:
    assert q.rounded(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (2_640, "44 minutes"),
     (7_200, "2 hours"), (72_000, "20 hours"), (172_800, "2 days"), (2_592_000, "30 days")],
)  # fmt: skip
def test_durations(seconds: float, shown: str) -> None:
    assert q.duration(seconds) == shown


def test_windows() -> None:
    assert [q.span(s) for s in (3_600, 86_400, 600, 2_419_200)] == ["one hour", "one day", "10 minutes", "28 days"]
    assert [q.latest(s) for s in (3_600, 90)] == ["the last hour", "the last 90 seconds"]
    assert q.between(604_800, 691_200) == "7 to 8 days ago"
    assert q.between(18_000, 18_600) == "300 to 310 minutes ago"
    assert q.between(0, 86_400) == "in the last day"


def test_plurals() -> None:
    assert [q.counted(n, noun) for n, noun in ((1, "country"), (3, "country"), (2, "key"), (0, "address"))] == [
        "1 country", "3 countries", "2 keys", "0 addresses",
    ]  # fmt: skip


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_quantity_has_the_digits_of_a_card_number(value: float) -> None:
    for shown in (q.figure(value), q.rounded(value), q.money(value, "EUR", 2), q.whole(value)):
        assert not re.search(r"[0-9]{13}", re.sub(r"[,.]", "", shown)), shown
        assert len(shown) <= 24
