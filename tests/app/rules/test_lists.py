"""What stands on a list: now, at an earlier change, at an earlier time."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from app.rules.changing import change
from app.rules.lists import NAMES, Hit, Lists
from app.store.open import open_store
from app.store.records import ListChange

CHANGES = st.lists(
    st.builds(
        ListChange,
        number=st.just(0),
        at=st.just(0),
        name=st.sampled_from(NAMES),
        column=st.sampled_from(["card_id", "country"]),
        value=st.sampled_from(["a", "b"]),
        listed=st.booleans(),
        until=st.none() | st.integers(1, 9),
    ),
    max_size=12,
).map(lambda changes: [replace(one, number=number) for number, one in enumerate(changes, 1)])


@given(CHANGES, st.integers(0, 9), st.integers(0, 12))
def test_at_any_change_and_any_time_the_last_word_counts(changes: list[ListChange], at: int, number: int) -> None:
    lists = Lists()
    lists.apply(changes)
    texts = {"card_id": "a", "country": "b", "merchant_id": "a", "channel": None}
    said = {(one.name, one.column, one.value): one for one in changes if one.number <= number}
    standing = {key for key, one in said.items() if one.listed and (one.until is None or at < one.until)}
    expected = {Hit(name, column) for name, column, value in standing if texts.get(column) == value}
    assert set(lists.hits(texts, at, number)) == expected
    alike = Lists()
    alike.apply(changes[:number])
    assert set(alike.hits(texts, at)) == expected
    assert {(one.name, one.column, one.value) for one in alike.entries(at)} == standing


def test_only_what_changes_something_is_written(own_store: str) -> None:
    store, lists = open_store(own_store), Lists()
    one = ListChange(0, 10, "block", "card_id", "a", until=90, note="why")
    assert [found.number for found in change(store, lists, [one, replace(one, value="b")])] == [1, 2]
    assert not change(store, lists, [one, replace(one, value="c", listed=False)])
    assert [found.until for found in change(store, lists, [replace(one, until=None)])] == [None]
    assert [found.listed for found in change(store, lists, [replace(one, listed=False)])] == [False]
    other = Lists()
    assert [found.number for found in change(store, other, [replace(one, at=20)])] == [5]
    assert (other.number, lists.number, len(store.list_changes())) == (5, 4, 5)
    assert not other.hits({"card_id": "a"}, 90) and other.hits({"card_id": "a"}, 89)
    store.close()
