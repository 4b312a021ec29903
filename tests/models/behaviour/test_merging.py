"""More events of one entity than are kept singly: within the stated error, on the stated side, and no overflow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.features import kilometres
from models.behaviour.kernel import relabel
from models.behaviour.layout import UNKNOWN
from models.behaviour.replay import State, content, packed, replay
from tests.examples import examples
from tests.models.behaviour.streams import DAY, HOUR, SECOND, START, schema_of

_WINDOWS = (HOUR, DAY, 7 * DAY)
_DELAY = 2 * DAY
_SHOP: dict[str, Any] = {
    "key": "merchant_id",
    "windows": ["1h", "1d", "7d"],
    "features": ["count", "sum", "mean", "std", "max", "distinct:card_id", "fraud_share", "since_last", "hour_rarity"],
    "label_delay": "2d",
}
_SHOP_BEHAVIOUR = Behaviour(schema_of(shop=_SHOP))
_NAMES = [f.name.partition(".")[2] for f in schema_of(shop=_SHOP).behaviour]
_PLACES = np.array([L.NO_PLACE, *(1_300_000_000 << 32 | 1_800_000_000 + i * 10_000_000 for i in range(6))])
_BOUNDS = ((4_096, 0.0), (7_500, 2**-9), (75_000, 2**-8), (14_000_000, 2**-7))


def _events(
    time: NDArray[np.int64], amount: NDArray[np.int64], card: NDArray[np.int64], fraud: NDArray[np.bool_]
) -> EntityEvents:
    events = np.empty((len(time), L.E_CODES + 1), np.int64)
    events[:, L.E_TIME], events[:, L.E_AMOUNT], events[:, L.E_FRAUD], events[:, L.E_CODES] = time, amount, fraud, card
    events[:, L.E_PLACE] = _PLACES[np.abs(card) % len(_PLACES)]
    return EntityEvents("shop", np.zeros(len(time), np.int64), [b"0" * 16], events)


def _part(events: EntityEvents, first: int, end: int) -> EntityEvents:
    return EntityEvents(events.name, events.group[first:end], events.digests, events.events[first:end])


def _bound(kept: int) -> float:
    """The relative error that docs/behaviour.md states for so many kept events."""
    return next(bound for most, bound in _BOUNDS if kept <= most)


def _burst(seed: int, rows: int, days: float, late: float) -> EntityEvents:
    random = np.random.default_rng(seed)
    gaps = random.exponential(1.0, rows) * np.where(np.arange(rows) // 500 % 3 == 0, 0.05, 1.0)
    time = START + (np.cumsum(gaps / gaps.sum()) * days * DAY).astype(np.int64)
    time -= np.where(random.random(rows) < late, random.integers(0, 2 * DAY, rows), 0)
    card = (random.pareto(0.8, rows) * 20).astype(np.int64)
    return _events(time, random.integers(0, 10**6, rows), card, random.random(rows) < 0.05)


@settings(max_examples=examples(8))
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.sampled_from([4_097, 6_000, 12_000, 40_000]),
    days=st.sampled_from([0.2, 5, 20]),
)
def test_errors_are_within_the_bound(seed: int, rows: int, days: float) -> None:
    events = _burst(seed, rows, days, late=0)
    replayed = replay(_SHOP_BEHAVIOUR, [events])
    time, amount = events.events[:, L.E_TIME], events.events[:, L.E_AMOUNT]
    card, fraud = events.events[:, L.E_CODES], events.events[:, L.E_FRAUD]
    kept = max(int((time > t - 7 * DAY - _DELAY - 3 * DAY).sum() - (time > t).sum()) for t in time[:: rows // 50])
    error = _bound(kept)
    for i in np.random.default_rng(seed).integers(rows // 2, rows, 25):
        found = dict(zip(_NAMES, replayed.features[i].tolist(), strict=True))
        for name, window in zip(("1h", "1d", "7d"), _WINDOWS, strict=True):
            seen = np.flatnonzero((time[:i] >= time[i] - window) & (time[:i] < time[i]))
            extra = found[f"count_{name}"] - len(seen)
            assert 0 <= extra <= error * len(seen)
            assert 0 <= round(found[f"sum_{name}"] * 100) - amount[seen].sum() <= extra * 10**6
            assert found[f"distinct_card_id_{name}"] - len(set(card[seen].tolist())) >= 0
            assert round(found[f"max_{name}"] * 100) >= amount[seen].max(initial=0)
            if extra == 0:
                assert found[f"sum_{name}"] == amount[seen].sum() / 100
                assert found[f"std_{name}"] == pytest.approx(
                    amount[seen].std(ddof=1) / 100 if len(seen) > 1 else 0, rel=1e-9
                )
            until = time[i] - _DELAY
            known = (time[:i] >= until - window) & (time[:i] < until)
            newer = (time[:i] >= until - window).sum()
            share = found[f"fraud_share_{name}"]
            if replayed.status[i] == L.DONE:
                assert share == fraud[:i][known].sum() / (known.sum() + UNKNOWN)
            elif known.any():
                most = error * newer / known.sum()
                assert (
                    abs(share - fraud[:i][known].sum() / (known.sum() + UNKNOWN))
                    <= 2 * most / max(1 - most, 1e-9) + 1e-12
                )
    assert (replayed.status[: L.EXACT] == L.DONE).all()
    if kept > L.EXACT and days <= 5:
        assert replayed.status[-1] == L.APPROXIMATE


def test_the_usual_distance_is_that_of_a_tenth() -> None:
    """Exactly while events are kept singly; then the merged ones lie where the last of them was."""
    events = _burst(3, 5_000, 4, late=0)
    replayed = replay(Behaviour(schema_of(shop=_SHOP | {"features": ["km_from_usual"]})), [events])
    place = events.events[:, L.E_PLACE]
    for i in np.random.default_rng(3).integers(100, 5_000, 30):
        km = sorted(kilometres(there, place[i]) for there in place[:i] if there != L.NO_PLACE)
        found = replayed.features[i, 0]
        if place[i] == L.NO_PLACE:
            assert found == 0
        elif replayed.status[i] == L.DONE:
            assert found == km[-(-len(km) // 10) - 1]
        else:
            assert km[0] <= found <= km[len(km) // 5]


@settings(max_examples=examples(6))
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(1, 8_999))
def test_late_events_and_restarts(seed: int, cut: int) -> None:
    """In the merged form, too: distinct is an upper bound, and a restart anywhere goes on bit for bit."""
    events = _burst(seed, 9_000, 6, late=0.03)
    whole = replay(_SHOP_BEHAVIOUR, [events], keep=True)
    first = replay(_SHOP_BEHAVIOUR, [_part(events, 0, cut)], keep=True)
    rest = replay(_SHOP_BEHAVIOUR, [_part(events, cut, 9_000)], before=first.states.get, keep=True)
    assert np.array_equal(whole.features[cut:], rest.features)
    assert np.array_equal(whole.status[cut:], rest.status)
    entity = _SHOP_BEHAVIOUR.entities[0]
    (one,), (other,) = whole.states.values(), rest.states.values()
    assert np.array_equal(content(entity, one), content(entity, other))
    assert one[L.BULK]
    assert one[L.TAIL] - one[L.HEAD] <= L.EXACT
    time, card = events.events[:, L.E_TIME], events.events[:, L.E_CODES]
    late = np.flatnonzero(np.maximum.accumulate(time) > time)
    random = np.random.default_rng(seed)
    for i in (*random.choice(late[late > 4_000], 40), *random.integers(4_096, 9_000, 20)):
        for name, window in zip(("1h", "1d", "7d"), _WINDOWS, strict=True):
            seen = (time[:i] >= time[i] - window) & (time[:i] < time[i])
            assert whole.features[i, _NAMES.index(f"distinct_card_id_{name}")] >= len(set(card[:i][seen].tolist()))
            if whole.status[i] == L.DONE:
                assert whole.features[i, _NAMES.index(f"count_{name}")] == seen.sum()


def test_service_and_replay_merge_at_the_same_event() -> None:
    """However the live state grew, and wherever it was saved and brought back."""
    from models.behaviour.replay import empty, step

    events = _burst(1, 9_000, 3, late=0.03)
    entity = _SHOP_BEHAVIOUR.entities[0]
    whole = replay(_SHOP_BEHAVIOUR, [events], keep=True)
    state, out = empty(entity), np.empty(_SHOP_BEHAVIOUR.width)
    for i, event in enumerate(events.events):
        state, status = step(entity, state if i % 997 else packed(entity, state), event, out)
        assert status == whole.status[i]
        assert np.array_equal(out, whole.features[i])
    (replayed,) = whole.states.values()
    assert np.array_equal(content(entity, state), content(entity, replayed))


def test_labels_find_merged_records() -> None:
    events = _burst(2, 9_000, 8, late=0.03)
    events.events[:, L.E_FRAUD] = 0
    entity = _SHOP_BEHAVIOUR.entities[0]
    (state,) = replay(_SHOP_BEHAVIOUR, [events], keep=True).states.values()
    before = content(entity, state)

    def frauds() -> int:
        records: State = content(entity, state)[:-1].reshape(-1, state[L.TAIL] - state[L.HEAD])
        return int(records[entity.plan[_fraud_place()]].sum())

    for t in events.events[:, L.E_TIME]:
        relabel(state, entity.plan, t, 1)
    assert frauds() == 9_000
    for t in events.events[:, L.E_TIME]:
        relabel(state, entity.plan, t, -1)
    assert np.array_equal(before, content(entity, state))


def _fraud_place() -> int:

    return P.FRAUD


@pytest.mark.parametrize("amount", [10**12, -(10**12)])
def test_no_overflow(amount: int) -> None:
    rows = 10_000
    events = _events(START + np.arange(rows) * SECOND, np.full(rows, amount), np.arange(rows), np.zeros(rows, bool))
    replayed = replay(_SHOP_BEHAVIOUR, [events])
    last = dict(zip(_NAMES, replayed.features[-1].tolist(), strict=True))
    assert last["count_1d"] == rows - 1
    assert last["sum_7d"] == (rows - 1) * amount / 100
    assert last["mean_7d"] == last["max_7d"] == amount / 100
    assert last["std_7d"] == last["std_1h"] == 0


def test_the_guarantee_of_the_docs() -> None:
    """How many events there must be before a coarser k is needed, from the argument in docs/behaviour.md."""
    for (most, _), (_, bound) in pairwise(_BOUNDS[1:]):
        k = round(-np.log2(bound)) + 1
        singles = 2 ** (k + 1)
        assert most < singles * (1 + 2.0**-k) ** ((L.EXACT - 2 * 511 - singles) / 2)
