"""Several processes that find a shared store empty, or of another model: one begins it, the others go on with that."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from app.decisions.purge import purge_store
from app.pseudonyms import NO_PSEUDONYMS
from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.reload.crew import Together
from app.service import create_app
from app.settings import Settings
from app.store.contract import Store
from app.store.errors import BegunMeanwhile, OtherStates, StillBuilding, StoreInUse, StoreUnavailable
from app.store.open import open_store
from app.store.records import Origin
from app.store.redis.store import RedisStore
from models.behaviour.events import Behaviour
from tests import servers
from tests.app.faulty_store import FaultyStore, Stop
from tests.app.offline import same_states
from tests.app.records import sent, till
from tests.app.store.conftest import (
    empty_redis,
    postgresql_backend,
    postgresql_server,
    shared_postgresql_backend,
    shared_store,
)
from tests.app.store.events import append, decision, key, look
from tests.app.traffic import Payments

__all__ = [  # fixtures
    "empty_redis",
    "postgresql_backend",
    "postgresql_server",
    "shared_postgresql_backend",
    "shared_store",
]
#: Microseconds: when labels became known.
LATE = 2_000_000_000_000_000
A = key("a")


def named(body: bytes) -> str:
    """The id of a transaction."""
    name: str = json.loads(body)["transaction_id"]
    return name


@contextmanager
def prefix() -> Iterator[str]:
    """Of an empty store; what was written under it is deleted."""
    url = servers.redis()  # started here, before several threads ask for it
    name = f"counterfoil-test-{secrets.token_hex(6)}:"
    yield name
    with Redis.from_url(url) as client:
        client.delete(*client.scan_iter(f"{name}*", count=10_000))


def started(store: Store, payments: Payments) -> Recovered:
    """What a start on the store finds."""
    return recover(store, payments.scorer, StateCache(store, Behaviour(payments.schema), 0))


@pytest.mark.parametrize("_number", range(10))
def test_of_those_that_begin_at_once_one_does(payments: Payments, _number: int) -> None:
    found: list[Recovered] = []
    together = threading.Barrier(4)

    def start(name: str) -> None:
        with closing(RedisStore(servers.redis(), name)) as store:
            together.wait()
            found.append(started(store, payments))

    with prefix() as name:
        threads = [threading.Thread(target=start, args=(name,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with Redis.from_url(servers.redis()) as client:
            begun = {one.split(b":")[2] for one in client.scan_iter(f"{name}begun:*", count=10_000)}
    assert sorted(one.base > 0 for one in found) == [False, False, False, True]
    assert len(begun) == 1  # nothing is left of what the others had written


class Late(RedisStore):
    """A store whose reader of the origin is overtaken by another process, which begins it and records."""

    overtaken = False

    def origin(self) -> Origin | None:
        found = super().origin()
        if not self.overtaken:
            self.overtaken = True
            with closing(RedisStore(servers.redis(), self._keys.prefix)) as other:
                started(other, self.payments)
                append(other, decision("t1", A), states={A: b"1"})
        return found

    payments: Payments


def test_what_was_recorded_meanwhile_stays(payments: Payments) -> None:
    with prefix() as name, closing(Late(servers.redis(), name)) as store:
        store.payments = payments
        assert started(store, payments).base == 0
        assert look(store, keys=[A]).states[A].content == b"1"


def test_other_sections_have_the_states_of_a_shared_store_made_from_its_log(
    payments: Payments, shared_store: str, tmp_path: Path
) -> None:
    rows = sent(payments, 60)
    with till(payments, f"sqlite:///{tmp_path / 'alone.db'}") as alone, till(payments, shared_store) as old:
        expected, keys = alone.send(*rows[:40]), [key for one in old.arrivals(*rows) for key, _ in one.events]
        assert old.send(*rows[:40]) == expected
        for one in (alone, old):
            assert one.recorder.label(named(rows[3]), "fraud", LATE, LATE, None)
        before = old.recorder.states.peek(keys)
        with closing(open_store(shared_store)) as other:  # as a process does whose model has other sections
            other.begin(Origin("of other sections"), [], other.origin())
        with till(payments, shared_store) as new:
            assert (new.recorder.recovered.rebuilt, new.recorder.recovered.events) == (True, 41)
            assert same_states(payments.schema, new.recorder.states.peek(keys), before)
            assert new.send(*rows[:50]) == alone.send(*rows[:50])
            assert old.send(*rows[50:]) == alone.send(*rows[50:])  # it fits again


def test_who_joins_or_erases_leaves_the_states_of_another_model_to_those_that_serve_it(
    payments: Payments, shared_store: str, tmp_path: Path
) -> None:
    settings = Settings(artifacts=payments.artifacts, database_url=shared_store)
    with till(payments, shared_store) as old, closing(open_store(shared_store)) as other:
        old.send(*sent(payments, 3))
        other.begin(Origin("of other sections"), [], other.origin())
        attempts: tuple[Callable[[], object], ...] = (
            partial(create_app, settings, payments.scorer, Together(tmp_path)),  # takes a crashed one's place
            partial(purge_store, settings, payments.scorer, NO_PSEUDONYMS, None, A),
            partial(old.send, sent(payments, 4)[3]),
        )
        for attempt in attempts:
            with pytest.raises(OtherStates, match="a store of its own"):
                attempt()
        assert other.origin() == Origin("of other sections")


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("writes", [0, 1])
def test_states_that_are_half_made_are_not_used_and_the_next_start_makes_them(
    payments: Payments, shared_store: str, writes: int, kept: bool
) -> None:
    rows, building = sent(payments, 20), writes == 1 or kept
    with till(payments, shared_store) as old, closing(open_store(shared_store)) as other:
        keys = [key for one in old.arrivals(*rows) for key, _ in one.events]
        old.send(*rows[:10])
        before = old.recorder.states.peek(keys)
        other.begin(Origin("of other sections"), [], other.origin())
        with pytest.raises(StoreUnavailable):
            recover(FaultyStore(other, Stop(writes, kept)), payments.scorer, StateCache(other, old.engine.behaviour, 0))
        if building and not (writes == 1 and kept):
            for attempt in (partial(old.send, rows[10]), old.recorder.try_store, partial(old.recorder.known, ["t"])):
                with pytest.raises(StillBuilding, match="being made anew from its log"):
                    attempt()
        started(other, payments)
        assert same_states(payments.schema, old.recorder.states.peek(keys), before)
        old.send(*rows[10:])
        assert len(list(other.log())) == 20


def test_one_process_at_a_time_makes_states_anew(payments: Payments, shared_store: str) -> None:
    with till(payments, shared_store) as old, closing(open_store(shared_store)) as other:
        old.send(*sent(payments, 3))
        other.begin(Origin("of other sections"), [], other.origin())
        with old.recorder.store.purging(), pytest.raises(StoreInUse, match="another purge is running"):
            started(other, payments)
        other.begin(Origin("of other sections", building=True), [], Origin("of other sections"))
        old.recorder.store.begin(Origin("later", building=True), [], Origin("of other sections", building=True))
        with pytest.raises(BegunMeanwhile):
            other.finish(Origin("of other sections"), [])
        assert started(other, payments).rebuilt
        assert not started(other, payments).rebuilt
