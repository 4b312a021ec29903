"""A fraud share says how many frauds among how many events it was made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.behaviour.layout import UNKNOWN
from models.behaviour.shares import MOST_FRAUDS, counted


@given(st.integers(1, MOST_FRAUDS), st.integers(0, 4_000_000))
def test_every_share_is_read_back(frauds: int, others: int) -> None:
    events = frauds + others
    assert counted(frauds / (events + UNKNOWN)) == (frauds, events)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.0, 2.0, float("nan"), 0.5, 1 / 3])
def test_what_is_no_share_is_not_read(share: float) -> None:
    assert counted(share) is None


def test_a_share_of_too_many_frauds_is_not_read() -> None:
    assert counted(40_001 / (1_000_003 + UNKNOWN)) is None
