"""Allow, block, review, in this order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.verdict import Wish, final
from models.thresholds import DECISIONS, Decision

WISHES: tuple[Wish, ...] = ("approve", "review", "decline", "snooze")


@pytest.mark.parametrize(
    ("wishes", "model", "decision"),
    [
        ((), "approve", "approve"),
        ((), "review", "review"),
        ((), "decline", "decline"),
        (("review",), "approve", "review"),
        (("review",), "decline", "decline"),
        (("decline", "review"), "approve", "decline"),
        (("approve", "decline", "review", "snooze"), "decline", "approve"),
        (("snooze",), "review", "approve"),
        (("snooze", "review"), "review", "approve"),
        (("snooze", "decline"), "review", "decline"),
        (("snooze",), "decline", "decline"),
    ],
)
def test_the_order(wishes: tuple[Wish, ...], model: Decision, decision: Decision) -> None:
    assert final(wishes, model) == decision


@given(st.lists(st.sampled_from(WISHES)), st.sampled_from(DECISIONS))
def test_neither_order_nor_number_of_wishes_matters(wishes: list[Wish], model: Decision) -> None:
    assert final(wishes, model) == final([*reversed(wishes), *wishes], model)
    assert final([*wishes, "approve"], model) == "approve"
    if "approve" not in wishes:
        assert final([*wishes, "decline"], model) == "decline"
