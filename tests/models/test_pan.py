"""Card numbers are recognised in the forms people write them in, and little else is taken for one."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.pan import CANDIDATE_PATTERN, column_of_cards, contains_card_number, is_card_number, luhn_valid

# The networks' published test numbers.
CARD_NUMBERS = (
    "4111111111111111", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005",
    "6011111111111117", "30569309025904", "3530111333300000", "6240008631401148", "2200770212727079",
    "8171999927660000", "8600069195406311", "9792020000000001", "6759649826438453", "6304000000000000000",
)  # fmt: skip
WRITTEN = (
    "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "3782-822463-10005", "3056 930902 5904",
    "card 4111111111111111.",
    "4111111111111111,05/27", "4111111111111111.0", "PAN:5555555555554444;", "x4111111111111111x",
    "4111.1111.1111.1111", "4111_1111_1111_1111", "4111/1111/1111/1111", "4111 - 1111 - 1111 - 1111",
    "41111111 11111111", "4111 1111 1111 1111 12", "05/27 4111 1111 1111 1111 123", "6240 0086 3140 1148 004",
    "624000 8631401148",
    "4222 222 222 222", "4222 2222 22222", "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1 0-5",
    "4.111111111111111e+15", "4.111111111111111E15", "5.5e15|4.222222222222E12", "4111\u00a01111\u00a01111\u00a01111",
    "4111\u20131111\u20131111\u20131111", "\uff14111111111111111", "\u0664111111111111111", "4111\u200b111111111111",
    "41\u00ad11111111111111",
)  # fmt: skip
HARMLESS = (
    "", "card-000123", "4111111111111112", "411111111111111", "41111111111111111111",
    "1769846400000", "0.4111111111111111",
    "-73.4111111111111111", "550e8400-e29b-41d4-a716-446655440000", "2026-01-31T08:15:00.123456Z", "+1 202 555 0143",
    "７１１１１１１１１１１１１１１１", "9111111111111111", "20260131081500", "tx-2026-03-01-000123",
    "8dae4097-3441-4430-90cb-0dbea5766396", "2ed145f4111111111111111f694b19e9", "id=0dae4111111111111111b7ef;",
    "4.111111111111112e15", "4111 1111 1111 1112", "4 1 1 1 1 1 1 1 1 1 1 1", "4123-4123-446655440000",
)  # fmt: skip


@pytest.mark.parametrize("text", [*CARD_NUMBERS, *WRITTEN])
def test_card_numbers_are_found(text: str) -> None:
    assert contains_card_number(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_other_texts_are_not(text: str) -> None:
    assert not contains_card_number(text)


@given(
    st.integers(22 * 10**13, 28 * 10**13 - 1) | st.integers(3 * 10**14, 7 * 10**14 - 1),
    st.text("abc ,;:|", max_size=3),
    st.text("abc ,;:|", max_size=3),
)
def test_one_check_digit_of_ten_makes_a_card_number(prefix: int, before: str, after: str) -> None:
    valid = [digit for digit in range(10) if contains_card_number(f"{before}{prefix}{digit}{after}")]
    assert len(valid) == 1
    assert luhn_valid(f"{prefix}{valid[0]}")


@given(st.integers(-(10**15), 10**15), st.sampled_from([0.0, 0.5, 0.25]))
def test_numbers_are_told_by_their_whole_part(number: int, fraction: float) -> None:
    assert is_card_number(number) == is_card_number(-number) == contains_card_number(str(abs(number)))
    assert is_card_number(abs(number) + fraction) == is_card_number(number)


@pytest.mark.parametrize("number", [67034444444444656.0, 4.111111111111111e15, -4111111111111111, 6304000000000000000])
def test_card_numbers_that_became_floats_are_found(number: float) -> None:
    assert is_card_number(number)


@pytest.mark.parametrize("number", [0, -1.5, 1e12, 4111111111111112, float("nan"), 1.7e12, 1e38])
def test_other_numbers_are_not(number: float) -> None:
    assert not is_card_number(number)


cards = st.sampled_from(CARD_NUMBERS)
separators = st.text(st.sampled_from(" -._/"), min_size=1, max_size=3)


@given(cards, separators, st.sampled_from([(4, 4, 4, 4, 4), (8, 11), (1,) * 19]))
def test_the_groups_that_people_write_are_found(card: str, separator: str, sizes: tuple[int, ...]) -> None:
    groups, rest = [], card
    for size in sizes:
        groups.append(rest[:size])
        rest = rest[size:]
    assert contains_card_number(separator.join(group for group in groups if group))


@given(st.text(st.sampled_from("0123456789 -.x41\uff14\u200be"), max_size=40))
def test_the_fast_selection_never_misses_one(text: str) -> None:
    if contains_card_number(text):
        assert pl.Series([text]).str.contains(CANDIDATE_PATTERN)[0]


@pytest.mark.parametrize("text", [*CARD_NUMBERS, *WRITTEN])
def test_the_fast_selection_finds_them_all(text: str) -> None:
    assert pl.Series([text]).str.contains(CANDIDATE_PATTERN)[0]


def test_digests_are_whole_tokens_of_the_usual_lengths() -> None:
    for letters in ("a", "abc", "abcdefa"):  # a word beside a card number is none
        assert contains_card_number(f"{letters}4111111111111111")
    assert contains_card_number("2ed145f4111111111111111f694b19e9 4111111111111111")


def test_a_column_tells_card_numbers_from_numbers_that_look_like_one() -> None:
    random = np.random.default_rng(0)
    numbers = random.integers(-(2**63), 2**63 - 1, 3_000)
    cells = pl.Series(numbers).cast(pl.String)
    assert 0.01 < sum(map(contains_card_number, cells)) / len(cells) < 0.1
    assert column_of_cards(cells) is False
    assert column_of_cards(pl.Series(CARD_NUMBERS * 10)) is True
    assert column_of_cards(pl.Series(CARD_NUMBERS)) is None  # too few
    assert column_of_cards(pl.Series(["paid", *CARD_NUMBERS] * 100)[:10]) is None
