"""The kernel against brute force, against itself in another order of work, and against a replay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.behaviour import layout as L
from models.behaviour.events import Behaviour
from models.behaviour.kernel import advance, relabel
from models.behaviour.records import copy_into, size
from models.behaviour.replay import State, content, empty, grown, packed, replay, step
from models.behaviour.spec import ELAPSED
from models.behaviour.windows import move
from models.rows import AT_ONCE
from tests.examples import examples
from tests.models.behaviour import oracle
from tests.models.behaviour.streams import (
    CARD,
    DAY,
    HOUR,
    MERCHANT,
    MIXED,
    START,
    Payment,
    assert_equal,
    columns_of,
    payments,
    run_live,
    schema_of,
    section_of,
)

_SECTIONS = {"card": CARD, "merchant": MERCHANT, "mixed": MIXED}
_EVERY = pytest.mark.parametrize("name", _SECTIONS)


def _behaviour(name: str) -> tuple[Behaviour, Any, oracle.Section]:
    schema = schema_of(**{name: _SECTIONS[name]})
    return Behaviour(schema), schema, section_of(_SECTIONS[name])


_POLE = [Payment("a", "x", "DE", START + i, 1_000, (900_000_000, place)) for i, place in enumerate((5, -12_239_408))]


@_EVERY
@example(rows=_POLE)
@given(rows=payments())
def test_features_are_as_defined(name: str, rows: list[Payment]) -> None:
    behaviour, schema, section = _behaviour(name)
    key = _SECTIONS[name]["key"]
    live, status, _ = run_live(behaviour, rows, known_at=lambda payment: payment.time + payment.known)
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    before: dict[str, list[oracle.Event]] = {}
    waiting: list[tuple[int, oracle.Event]] = []
    clock = 0
    for i, payment in enumerate(rows):
        clock = max(clock, payment.time)
        for known, earlier in waiting:
            earlier.fraud |= known <= clock
        mine = before.setdefault(payment.row()[key], [])
        event = payment.event()
        if oracle.too_late(mine, event):
            assert status[i] == L.TOO_LATE
            continue
        assert status[i] == 0
        assert_equal(oracle.features(section, mine, event), dict(zip(names, live[i].tolist(), strict=True)))
        mine.append(event)
        if payment.fraud:
            waiting.append((payment.time + payment.known, event))


@pytest.mark.parametrize("name", ["merchant", "mixed"])
@given(rows=payments(), said=st.lists(st.booleans(), min_size=40, max_size=40))
def test_a_label_counts_since_it_was_known(name: str, rows: list[Payment], said: list[bool]) -> None:
    """Some labels are known since a moment, which may be before the payment's; the others by the label delay alone."""
    behaviour, schema, section = _behaviour(name)
    known = [p.time + p.known - HOUR if told else AT_ONCE for p, told in zip(rows, said, strict=False)]
    replayed = replay(behaviour, columns_of(behaviour, schema, rows, known), keep=True)
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    before: dict[str, list[tuple[oracle.Event, int]]] = {}
    for i, payment in enumerate(rows):
        mine = before.setdefault(payment.row()[_SECTIONS[name]["key"]], [])
        event = payment.event(fraud=payment.fraud)
        clock = max([event.time, *(earlier.time for earlier, _ in mine)])
        seen = [earlier.as_known(since, clock) for earlier, since in mine]
        if not oracle.too_late(seen, event):
            assert_equal(
                oracle.features(section, seen, event), dict(zip(names, replayed.features[i].tolist(), strict=True))
            )
            mine.append((event, known[i]))
    # In the end everything is known.
    entity = behaviour.entities[0]
    for key, state in replay(behaviour, columns_of(behaviour, schema, rows), keep=True).states.items():
        if len({p.time for p in rows}) == len(rows):
            assert np.array_equal(content(entity, state), content(entity, replayed.states[key]))


@_EVERY
@given(rows=payments(), cut=st.integers(0, 40))
def test_replay_is_the_same_bit_for_bit(name: str, rows: list[Payment], cut: int) -> None:
    """Whole, and in two parts of which the second goes on from the first one's states."""
    behaviour, schema, _ = _behaviour(name)
    delay = oracle.micros(_SECTIONS[name].get("label_delay", "7d"))
    live, status, states = run_live(behaviour, rows, known_at=lambda p: p.time + min(p.known, delay))
    whole = replay(behaviour, columns_of(behaviour, schema, rows), keep=True)
    assert np.array_equal(live, whole.features, equal_nan=True)
    assert np.array_equal(status, whole.status)
    cut = min(cut, len(rows) - 1)
    first = replay(behaviour, columns_of(behaviour, schema, rows[:cut]), keep=True) if cut else None
    held = first.states if first else {}
    rest = replay(behaviour, columns_of(behaviour, schema, rows[cut:]), before=held.get, keep=True)
    assert np.array_equal(live[cut:], rest.features, equal_nan=True)
    entity = behaviour.entities[0]
    for key, state in (held | rest.states).items():
        remembered = content(entity, whole.states[key])
        assert np.array_equal(content(entity, state), remembered)
        # A label that arrives later stands at the first of equal times, whichever it was for.
        if "fraud_share" not in _SECTIONS[name]["features"] or len({p.time for p in rows}) == len(rows):
            assert np.array_equal(content(entity, states[key[1]]), remembered)


@_EVERY
@given(rows=payments(), choices=st.lists(st.integers(0, 5), min_size=40, max_size=40), moves=st.data())
def test_restarts_and_queries_change_nothing(
    name: str, rows: list[Payment], choices: list[int], moves: st.DataObject
) -> None:
    behaviour, _, _ = _behaviour(name)
    entity = behaviour.entities[0]
    newest = max(payment.time for payment in rows)

    def meddle(i: int, state: State) -> State:
        match choices[i]:
            case 1:
                return packed(entity, state)
            case 2:
                return grown(entity, state)
            case 3:
                large = np.empty(size(entity.plan, L.CAPACITY, 1), np.int64)
                copy_into(state, large, entity.plan, L.CAPACITY, 1)
                return large
            case 4:
                before = content(entity, state)
                move(state, entity.plan, moves.draw(st.integers(newest - 3 * DAY, newest + 40 * DAY)))
                assert np.array_equal(before, content(entity, state))
        return state

    plain, status, states = run_live(behaviour, rows, known_at=lambda p: p.time + p.known)
    meddled, status_, states_ = run_live(behaviour, rows, known_at=lambda p: p.time + p.known, meddle=meddle)
    assert np.array_equal(plain, meddled, equal_nan=True)
    assert np.array_equal(status, status_)
    for digest, state in states.items():
        columns = len(content(entity, state)) - 1
        if states_[digest][L.BULK] == state[L.BULK]:
            assert np.array_equal(content(entity, state), content(entity, states_[digest]))
        else:
            assert np.array_equal(content(entity, state)[:columns], content(entity, states_[digest])[:columns])


@given(rows=payments(), label=st.integers(0, 39))
def test_a_label_taken_back_leaves_no_trace(rows: list[Payment], label: int) -> None:
    behaviour, _, _ = _behaviour("mixed")
    entity = behaviour.entities[0]
    _, _, states = run_live(behaviour, rows)
    for state in states.values():
        for t in (rows[label % len(rows)].time, START - 500 * DAY):
            before = state.copy()
            relabel(state, entity.plan, t, 1)
            relabel(state, entity.plan, t, -1)
            assert np.array_equal(before, state)


def _payment(time: int, amount: int = 100) -> Payment:
    return Payment("a", "x", "DE", time, amount, None)


def test_what_is_too_late_changes_nothing() -> None:
    behaviour, _, _ = _behaviour("mixed")
    entity = behaviour.entities[0]
    _, _, states = run_live(behaviour, [_payment(START + i * HOUR) for i in range(8)])
    (state,) = states.values()
    assert state[L.CAP] == 8  # full: room must not be made either
    before, out = state.copy(), np.full(behaviour.width, 7.0)
    (((_, _), event),) = behaviour.of_row(_payment(START + 7 * HOUR - 3 * DAY - 1).row())
    assert (
        step(entity, state, event, out) == (state, L.TOO_LATE)
        if False
        else step(entity, state, event, out)[1] == L.TOO_LATE
    )
    assert np.array_equal(before, state)
    assert (out == 7.0).all()
    (((_, _), event),) = behaviour.of_row(_payment(START + 7 * HOUR - 3 * DAY).row())
    assert step(entity, state, event, out)[1] == 0


def test_replay_has_no_features_for_what_is_too_late() -> None:
    behaviour, schema, _ = _behaviour("card")
    rows = [_payment(START), _payment(START - 4 * DAY), _payment(START + HOUR)]
    replayed = replay(behaviour, columns_of(behaviour, schema, rows))
    assert replayed.status.tolist() == [0, L.TOO_LATE, 0]
    assert np.isnan(replayed.features).all(axis=1).tolist() == [False, True, False]


def test_cold_start() -> None:
    """What an entity without events has is what the declaration says."""
    behaviour, schema, _ = _behaviour("mixed")
    entity = behaviour.entities[0]
    out = np.empty(behaviour.width)
    (((_, _), event),) = behaviour.of_row(_payment(START).row())
    assert advance(empty(entity), entity.plan, event, out) == 0
    cold = [172_800.0 if f.word in ELAPSED else f.cold for f in schema.behaviour]
    assert out.tolist() == cold


@settings(max_examples=examples(6))
@given(seed=st.integers(0, 2**32 - 1))
def test_long_histories_with_expiry(seed: int) -> None:
    """Thousands of events, most of them forgotten again: live in growing arrays, replayed in large ones."""
    random = np.random.default_rng(seed)
    clock = START + np.cumsum(random.exponential(HOUR / 6, 3_000)).astype(np.int64)
    clock -= np.where(random.random(3_000) < 0.03, random.integers(0, 3 * DAY, 3_000), 0)
    rows = [
        Payment(
            "a", f"m{random.integers(0, 30)}", "DE", int(t), int(random.integers(0, 10**6)), None, random.random() < 0.1
        )
        for t in clock
    ]
    behaviour, schema, section = _behaviour("mixed")
    live, status, states = run_live(behaviour, rows, known_at=lambda p: p.time)
    whole = replay(behaviour, columns_of(behaviour, schema, rows), keep=True)
    assert np.array_equal(live, whole.features)
    assert not status.any()
    (state,), (replayed,) = states.values(), whole.states.values()
    entity = behaviour.entities[0]
    assert len(state) <= size(entity.plan, 2_048, 0)
    assert np.array_equal(content(entity, state), content(entity, replayed))
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    for i in random.integers(0, 3_000, 5):
        recent = [row.event(fraud=row.fraud) for row in rows[:i] if row.time > rows[i].time - 4 * DAY]
        assert_equal(oracle.features(section, recent, rows[i].event()), dict(zip(names, live[i].tolist(), strict=True)))
