"""Pages of decisions: the ones that were asked for, newest first, each once, from every store alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.store.contract import Store
from app.store.query import Filter, Recorded, Tally
from app.store.records import Decision, LabelEvent
from app.store.redis.query import Search
from app.store.redis.store import RedisStore
from models.forms.time_patterns import DAY
from tests.app.store.conftest import Backend
from tests.app.store.events import append, decision, key, label
from tests.examples import examples

A, B, SHOP = key("a"), key("b"), key("shop", "merchant")


def pages(store: Store, wanted: Filter, limit: int = 100) -> list[Recorded]:
    """All pages, one after the other."""
    found: list[Recorded] = []
    before: int | None = None
    while True:
        page = store.page(wanted, before, limit)
        assert len(page.decisions) <= limit
        found += page.decisions
        if page.before is None:
            return found
        assert before is None or page.before < before
        before = page.before


def ids(found: Sequence[Recorded]) -> list[str | None]:
    return [one.decision.transaction_id for one in found]


@pytest.fixture
def some(store: Store) -> Store:
    """Four decisions and some labels."""
    append(
        store,
        decision("t1", A, SHOP, arrived_at=10, score=0.99, threshold=0.99, decision="review", caller="pos"),
        decision("t2", B, SHOP, arrived_at=20, score=0.5, model_version="other"),
        label("t1", "fraud"),
        decision(None, A, arrived_at=15, score=0.995, decision="decline"),
        label("t2", "fraud"),
        decision("t4", A, arrived_at=40, score=0.9899),
        label("t2", "legitimate"),
    )
    return store


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ["t4", None, "t2", "t1"]),
        ({"since": 15}, ["t4", None, "t2"]),
        ({"until": 15}, ["t1"]),
        ({"since": 15, "until": 40}, [None, "t2"]),
        ({"since": 41}, []),
        ({"decision": "review"}, ["t1"]),
        ({"is_anomaly": True}, [None, "t1"]),
        ({"is_anomaly": False}, ["t4", "t2"]),
        ({"min_score": 0.99}, [None, "t1"]),
        ({"entities": (A,)}, ["t4", None, "t1"]),
        ({"entities": (A,), "since": 15}, ["t4", None]),
        ({"entities": (A,), "label": "fraud"}, ["t1"]),
        ({"entities": (key("nobody"),)}, []),
        ({"transaction_id": "t2"}, ["t2"]),
        ({"transaction_id": "t2", "label": "fraud"}, []),
        ({"transaction_id": "nobody"}, []),
        ({"model_version": "other"}, ["t2"]),
        ({"caller": "pos"}, ["t1"]),
        ({"label": "fraud"}, ["t1"]),
        ({"label": "legitimate", "min_score": 0.6}, []),
        ({"label": "legitimate", "until": 21}, ["t2"]),
    ],
)
def test_what_is_asked_for(some: Store, wanted: dict[str, Any], expected: list[str | None]) -> None:
    for limit in (1, 2, 100):
        assert ids(pages(some, Filter(**wanted), limit)) == expected


def test_labels_come_with_it_oldest_first(some: Store) -> None:
    (two,) = pages(some, Filter(transaction_id="t2"))
    assert [event.label for event in two.labels] == ["fraud", "legitimate"]
    assert two.decision == some.find("t2")


def test_what_arrives_in_between_moves_nothing(some: Store) -> None:
    first = some.page(Filter(), None, 2)
    append(some, decision("t5"))
    assert ids(some.page(Filter(), first.before, 2).decisions) == ["t2", "t1"]
    assert ids(some.page(Filter(), None, 1).decisions) == ["t5"]


def test_it_is_read_beside_the_owner(backend: Backend, some: Store) -> None:
    reader = backend.open(read_only=True)
    assert ids(pages(reader, Filter(is_anomaly=True))) == [None, "t1"]
    reader.close()


def test_a_search_of_redis_goes_on_where_it_paused(redis_backend: Backend) -> None:
    store = RedisStore(redis_backend.url, redis_backend.prefix, search=Search(at_once=4, most=8))
    append(store, *(decision(f"t{i}", decision="decline" if i == 3 else "approve") for i in range(40)))
    page = store.page(Filter(decision="decline"), None, 10)
    assert (page.decisions, page.before) == ([], 33)
    assert ids(pages(store, Filter(decision="decline"))) == ["t3"]
    store.close()


_TIMES, _SCORES = st.integers(0, 6), st.sampled_from([0.0, 0.25, 0.5, 0.75])
_LOGS = st.lists(
    st.builds(
        lambda name, keys, arrived, score, threshold, verdict, version, caller: decision(
            name, *keys, arrived_at=arrived, score=score, threshold=threshold, decision=verdict,
            model_version=version, caller=caller,
        ),
        st.none() | st.sampled_from(["a", "b", "c", "d"]),
        st.lists(st.sampled_from([A, B, SHOP]), unique=True, max_size=2),
        _TIMES,
        _SCORES,
        _SCORES,
        st.sampled_from(["approve", "review"]),
        st.sampled_from(["v1", "v2"]),
        st.none() | st.sampled_from(["x", "y"]),
    )
    | st.builds(label, st.sampled_from(["a", "b", "c"]), st.sampled_from(["fraud", "legitimate"])),
    max_size=12,
)  # fmt: skip
_FILTERS = st.builds(
    Filter,
    since=st.none() | _TIMES,
    until=st.none() | _TIMES,
    decision=st.none() | st.just("review"),
    is_anomaly=st.none() | st.booleans(),
    min_score=st.none() | _SCORES,
    entities=st.lists(st.sampled_from([A, B, SHOP]), max_size=2, unique=True).map(tuple),
    transaction_id=st.none() | st.none() | st.sampled_from(["a", "b"]),
    model_version=st.none() | st.just("v1"),
    caller=st.none() | st.just("x"),
    label=st.none() | st.just("fraud"),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(20))
@given(log=_LOGS, wanted=st.lists(_FILTERS, min_size=1, max_size=5), limit=st.integers(1, 5))
def test_any_filter_of_any_log(
    store: Store, log: list[Decision | LabelEvent], wanted: list[Filter], limit: int
) -> None:
    """The store goes on from one example to the next; ids that were used are taken away."""
    used = {event.transaction_id for event in store.log() if isinstance(event, Decision)}
    fresh: list[Decision | LabelEvent] = []
    for event in log:
        again = isinstance(event, Decision) and event.transaction_id in used
        fresh.append(replace(event, transaction_id=None) if isinstance(event, Decision) and again else event)
        used.add(event.transaction_id)
    if fresh:
        append(store, *fresh)
    events = list(store.log())
    for one in wanted:
        expected = []
        for event in events:
            if isinstance(event, Decision) and one.takes(event):
                known = [
                    late
                    for late in events
                    if isinstance(late, LabelEvent) and late.transaction_id == event.transaction_id
                ]
                if one.label is None or (known and known[-1].label == one.label):
                    expected.append(Recorded(event, known))
        found = [Recorded(recorded.decision, list(recorded.labels)) for recorded in pages(store, one, limit)]
        assert found == expected[::-1]


def test_decisions_are_counted_by_the_day_of_their_transaction(some: Store) -> None:
    append(some, *(decision(f"n{i}", time=(20_000 + i // 2) * DAY + i, arrived_at=100) for i in range(5)))
    version, first = decision("x").model_version, 1_700_000_000_000_000 // DAY
    whole = some.tally(version, 0, 0)
    assert sorted(whole.days) == [(first, 3, 2), (20_000, 2, 0), (20_001, 2, 0), (20_002, 1, 0)]
    assert whole.last == some.last_seq()
    assert sorted(some.tally("other", 0, 0).days) == [(first, 1, 0)]
    assert sorted(some.tally(version, 0, 100).days) == sorted(whole.days)[1:]
    assert sorted(some.tally(version, 1, 0).days)[0] == (first, 2, 1)
    assert some.tally(version, whole.last, 0) == Tally([], whole.last)
