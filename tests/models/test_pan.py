"""Card numbers are recognised in the forms people write them in, and little else is taken for one."""

from __future__ import annotations

import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pan import CANDIDATE_PATTERN, contains_card_number, luhn_valid

# The networks' published test numbers.
CARD_NUMBERS = (
    "4111111111111111", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005",
    "6011111111111117", "30569309025904", "3530111333300000", "6240008631401148",
)  # fmt: skip
WRITTEN = (
    "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "3782-822463-10005", "3056 930902 5904",
    "card 4111111111111111.",
    "4111111111111111,05/27", "4111111111111111.0", "PAN:5555555555554444;", "x4111111111111111x",
)  # fmt: skip
HARMLESS = (
    "", "card-000123", "4111111111111112", "411111111111111", "41111111111111111111",
    "1769846400000", "0.4111111111111111",
    "-73.4111111111111111", "550e8400-e29b-41d4-a716-446655440000", "2026-01-31T08:15:00.123456Z", "+1 202 555 0143",
    "７１１１１１１１１１１１１１１１", "9111111111111111",
)  # fmt: skip


@pytest.mark.parametrize("text", [*CARD_NUMBERS, *WRITTEN])
def test_card_numbers_are_found(text: str) -> None:
    assert contains_card_number(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_not(text: str) -> None:
    assert not contains_card_number(text)


@given(st.integers(2 * 10**14, 7 * 10**14 - 1), st.text("abc ,;:|", max_size=3), st.text("abc ,;:|", max_size=3))
def test_one_check_digit_of_ten_makes_a_card_number(prefix: int, before: str, after: str) -> None:
    valid = [digit for digit in range(10) if contains_card_number(f"{before}{prefix}{digit}{after}")]
    assert len(valid) == 1
    assert luhn_valid(f"{prefix}{valid[0]}")


@given(st.text(st.sampled_from("0123456789 -.x41"), max_size=40))
def test_the_fast_selection_never_misses_one(text: str) -> None:
    if contains_card_number(text):
        assert re.search(CANDIDATE_PATTERN, text)
        assert pl.Series([text]).str.contains(CANDIDATE_PATTERN)[0]
