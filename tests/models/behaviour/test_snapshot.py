"""A snapshot comes back as it was written, and nothing else is taken for one."""

from __future__ import annotations

import numpy as np
import pytest

from models.behaviour import layout as L
from models.behaviour.events import Behaviour
from models.behaviour.replay import empty, step
from models.behaviour.snapshot import Snapshot, usable
from models.errors import InvalidBundle
from models.schema import load_schema

BEHAVIOUR = Behaviour(load_schema("payments"))


def snapshot() -> Snapshot:
    states = {}
    for entity in BEHAVIOUR.entities:
        for number in range(5):
            state = empty(entity)
            out = np.empty(len(entity.behaviour.derived))
            for moment in range(number):
                event = np.array(
                    [moment * 1_000_000, 100 + moment, 0, -1, 7, 8][: 4 + len(entity.behaviour.code_columns)]
                )
                state, _ = step(entity, state, event, out)
            states[entity.name, bytes([number]) * 16] = state
    return Snapshot(BEHAVIOUR.spec, 12, states)


def test_it_comes_back_as_it_was() -> None:
    one = snapshot()
    again = Snapshot.from_bytes(one.to_bytes(), BEHAVIOUR, name="x")
    assert (again.spec, again.as_of, again.states.keys()) == (one.spec, 12, one.states.keys())
    assert all(np.array_equal(state, again.states[key]) for key, state in one.states.items())
    assert one.to_bytes() == again.to_bytes()


def test_another_declaration_is_refused() -> None:
    other = Behaviour(load_schema("handbook-raw"))
    with pytest.raises(InvalidBundle, match="other \\[entity\\] sections"):
        Snapshot.from_bytes(snapshot().to_bytes(), other, name="states.npz")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"x" * 100, snapshot().to_bytes()[:-200]])
def test_what_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidBundle, match=r"states\.npz"):
        Snapshot.from_bytes(data, BEHAVIOUR, name="states.npz")


@pytest.mark.parametrize("place", [L.CAP, L.HEAD, L.TAIL, L.HI])
@pytest.mark.parametrize("value", [-1, 2**40])
def test_a_state_that_points_outside_itself_is_refused(place: int, value: int) -> None:
    one = snapshot()
    key = ("card", bytes([4]) * 16)
    hostile = one.states[key].copy()
    hostile[place] = value
    assert usable(BEHAVIOUR.entities[0], one.states[key])
    assert not usable(BEHAVIOUR.entities[0], hostile)
    with pytest.raises(InvalidBundle, match="state"):
        Snapshot.from_bytes(
            Snapshot(one.spec, 12, {**one.states, key: hostile}).to_bytes(), BEHAVIOUR, name="states.npz"
        )
