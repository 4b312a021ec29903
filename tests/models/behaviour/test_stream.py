"""A stream of sorted events, cut into batches anywhere, against one replay of all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.behaviour.events import Behaviour, Entity, EntityEvents
from models.behaviour.replay import State, content, replay, replay_entity
from models.behaviour.stream import EntityStream, digests_of, keys_of
from models.rows import AT_ONCE
from tests.models.behaviour.streams import (
    CARD,
    DAY,
    MERCHANT,
    MIXED,
    START,
    Payment,
    columns_of,
    payments,
    schema_of,
)

_SECTIONS = {"card": CARD, "merchant": MERCHANT, "mixed": MIXED}


def _in_time_order(rows: list[Payment]) -> list[Payment]:
    return sorted(rows, key=lambda payment: payment.time)


def _sorted(events: EntityEvents) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The keys, and the order by key and then as given."""
    keys = keys_of(events.digests)[events.group]
    return keys, np.lexsort((np.arange(len(keys)), keys[:, 1], keys[:, 0]))


def _run(
    entity: Entity, events: EntityEvents, cuts: list[int], begins: dict[bytes, State] | None = None
) -> tuple[Any, Any, dict[bytes, State]]:
    """Features and answers in the order given, and the states, from batches that end at the cuts."""
    keys, order = _sorted(events)
    ended: dict[bytes, State] = {}
    stream = EntityStream(entity, ended.__setitem__)
    features, status = np.empty((len(keys), entity.out.stop - entity.out.start)), np.zeros(len(keys), np.int8)
    waiting = dict(sorted((begins or {}).items(), key=lambda item: tuple(np.frombuffer(item[0], np.int64))))
    for part in np.split(order, sorted(cut % (len(order) + 1) for cut in cuts)):
        mine: dict[bytes, State] = {}
        if len(part):  # states come just before their entity's first event, those of others on the way
            last = tuple(keys[part[-1]])
            for digest in [one for one in waiting if tuple(np.frombuffer(one, np.int64)) <= last]:
                mine[digest] = waiting.pop(digest)
        known = None if events.known is None else events.known[part]
        features[part], status[part] = stream.take(keys[part], events.events[part], known, mine)
    stream.take(np.empty((0, 2), np.int64), np.empty((0, events.events.shape[1]), np.int64), None, waiting)
    stream.finish()
    return features, status, ended


def _assert_same(entity: Entity, events: EntityEvents, cuts: list[int], begins: dict[bytes, State]) -> None:
    expected, answers, states = replay_entity(entity, events, before=lambda key: begins.get(key[1]), keep=True)
    features, status, ended = _run(entity, events, cuts, begins)
    np.testing.assert_array_equal(features, expected)
    np.testing.assert_array_equal(status, answers)
    left = {digest: state for digest, state in begins.items() if digest not in events.digests}
    assert ended.keys() == {digest for _, digest in states} | left.keys()
    for (_, digest), state in states.items():
        np.testing.assert_array_equal(content(entity, ended[digest]), content(entity, state))
    for digest, state in left.items():
        np.testing.assert_array_equal(ended[digest], state)


@pytest.mark.parametrize("name", _SECTIONS)
@settings(max_examples=30)
@given(rows=payments(), more=payments(), cuts=st.lists(st.integers(0, 80), max_size=6), told=st.booleans())
def test_any_cut_gives_the_features_and_states_of_one_replay(
    name: str, rows: list[Payment], more: list[Payment], cuts: list[int], told: bool
) -> None:
    schema = schema_of(**{name: _SECTIONS[name]})
    behaviour = Behaviour(schema)
    (entity,) = behaviour.entities
    earlier, later = _in_time_order(rows), _in_time_order(more)
    shift = max(earlier[-1].time - later[0].time - 2 * DAY, 0)  # some begin late after their state, none for good
    later = [Payment(**{**vars(one), "time": one.time + shift}) for one in later]
    known = [one.time + one.known if one.known else AT_ONCE for one in later] if told else None
    begins = {
        digest: state
        for (_, digest), state in replay(behaviour, columns_of(behaviour, schema, earlier), keep=True).states.items()
    }
    events = columns_of(behaviour, schema, later, known)[0]
    _assert_same(entity, events, cuts, begins)
    _assert_same(entity, events, cuts, {})


def test_an_entity_larger_than_any_batch_merges_at_the_same_events() -> None:
    schema = schema_of(card=CARD)
    behaviour = Behaviour(schema)
    (entity,) = behaviour.entities
    rows = [
        Payment("a", f"m{i % 7}", "DE", START + i * 1_000_000, 100 + i, None, i % 50 == 0, DAY) for i in range(12_000)
    ]
    known = [one.time + one.known for one in rows]
    _assert_same(entity, columns_of(behaviour, schema, rows, known)[0], list(range(0, 12_000, 1_777)), {})


def test_digests_are_their_keys() -> None:
    digests = [bytes(range(16)), b"\xff" * 16, b"\0" * 16]
    assert digests_of(keys_of(digests)) == digests
    assert keys_of([]).shape == (0, 2)
