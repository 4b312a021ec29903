"""Several processes that find a shared store empty: one begins it, the others go on with that."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from redis import Redis

from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.store.contract import Store
from app.store.records import Origin
from app.store.redis.store import RedisStore
from models.behaviour.events import Behaviour
from tests import servers
from tests.app.store.events import append, decision, key, look
from tests.app.traffic import Payments

A = key("a")


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


def test_other_sections_are_said_to_begin_without_what_was_recorded(payments: Payments) -> None:
    with prefix() as name, closing(RedisStore(servers.redis(), name)) as store:
        store.begin(Origin("of other sections"), [])
        append(store, decision("t1", A), states={A: b"1"})
        found = started(store, payments)
        assert (found.rebuilt, found.events, found.uncounted) == (True, 0, 1)
        assert started(store, payments).uncounted == 0
