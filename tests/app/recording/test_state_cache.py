"""States in memory: bounded, and never let go before the store has them."""

from __future__ import annotations

from typing import cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.recording.state_cache import StateCache
from app.store.contract import Store
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.schema import load_schema


def cache(limit: int) -> StateCache:
    """One that needs no store, as long as nothing is saved there."""
    return StateCache(cast(Store, None), Behaviour(load_schema("payments")), limit)


def key(number: int) -> EntityKey:
    return "card", number.to_bytes(16, "big")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 60)), max_size=60), st.sets(st.integers(0, 9)))
def test_what_is_unsaved_stays_and_the_rest_is_bounded(puts: list[tuple[int, int]], saved: set[int]) -> None:
    live = cache(3_000)
    first: dict[int, int] = {}
    for seq, (number, size) in enumerate(puts, 1):
        live.put({key(number): np.full(size, seq, np.int64)}, {key(number): seq})
        first.setdefault(number, seq)
    live.saved([key(number) for number in saved])
    unsaved = {number: seq for number, seq in first.items() if number not in saved}
    assert next(iter(live.unsaved.values()), None) == min(unsaved.values(), default=None)
    assert live.due(2**62, 100) == [key(number) for number in sorted(unsaved, key=unsaved.__getitem__)]
    assert live.due(5, 2) == [k for k in live.due(2**62, 100) if unsaved[int.from_bytes(k[1], "big")] < 5][:2]
    live.evict()
    assert all(key(number) in live for number in unsaved)
    assert live.bytes <= 3_000 or not any(key(number) in live for number in saved)
    live.clear()
    assert (len(live), live.bytes, next(iter(live.unsaved.values()), None)) == (0, 0, None)


@given(st.dictionaries(st.integers(0, 9), st.integers(1, 60), min_size=1))
def test_what_waits_longest_is_saved_first_in_whatever_order_it_came(first: dict[int, int]) -> None:
    live = cache(3_000)
    live.put({key(n): np.zeros(1, np.int64) for n in first}, {key(n): seq for n, seq in first.items()})
    assert next(iter(live.unsaved.values()), None) == min(first.values())
    assert [live.unsaved[one] for one in live.due(2**62, 100)] == sorted(first.values())


def test_the_longest_idle_go_first() -> None:
    live = cache(2 * (800 + 400))
    live.put({key(number): np.zeros(100, np.int64) for number in range(3)})
    assert live.get(key(0)) is not None
    assert live.evict() == 1
    assert [key(number) in live for number in range(3)] == [True, False, True]
    assert live.bytes == 2 * (800 + 400)


def test_the_oldest_comes_first_however_a_recovery_found_them() -> None:
    live = cache(1 << 20)
    states = {key(number): np.zeros(4, np.int64) for number in range(3)}
    live.put(states, {key(0): 7, key(1): 12, key(2): 8})
    assert live.due(10, 9) == [key(0), key(2)]
    live.saved(live.due(10, 1))
    assert next(iter(live.unsaved.values()), None) == 8
