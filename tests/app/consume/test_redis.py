"""A Redis Stream: whose entries are whose, and what becomes of those that are gone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import pytest

from app.consume.address import parse
from app.consume.broker import Message, Settled
from app.consume.redis import RedisStream
from models.errors import CounterfoilError
from tests import servers
from tests.app.consume.sources import RedisSource


def stream(where: RedisSource, name: str, claim_after: float = 60) -> closing[RedisStream]:
    dead_letters = f"{where.stream}-dead-letters"
    one = RedisStream(parse(where.url), "counterfoil", name, None, dead_letters, "transaction", claim_after, {})
    return closing(one)


def values(messages: Sequence[Message]) -> list[bytes | None]:
    return [message.value for message in messages]


@pytest.fixture
def where() -> RedisSource:
    where = RedisSource(servers.redis())
    where.send([b"1", b"2", b"3"])
    return where


def test_a_worker_that_comes_back_goes_on_with_its_own(where: RedisSource) -> None:
    with stream(where, "one") as one:
        assert values(one.read(2)) == [b"1", b"2"]
    with stream(where, "one") as one:
        again = one.read(2)
        assert values(again) == [b"1", b"2"] and one.lag() == 3
        one.settle([Settled(message, b"{}") for message in again])
        assert values(one.read(2)) == [b"3"] and one.lag() == 1


def test_what_a_dead_worker_left_is_taken_over_by_another(where: RedisSource) -> None:
    with stream(where, "dead") as dead, stream(where, "alive") as alive:
        held = dead.read(2)
        assert values(held) == [b"1", b"2"]
        where.client.xclaim(where.stream, "counterfoil", "dead", 0, [one.token for one in held], idle=999_000)
        left = alive.read(9)
        assert values(left) == [b"1", b"2"]
        alive.settle([Settled(message, b"{}") for message in left])
        assert values(alive.read(9)) == [b"3"]


def test_what_is_kept_is_not_taken(where: RedisSource) -> None:
    with stream(where, "one") as one:
        first = one.read(2)
        idle = where.client.xpending_range(where.stream, "counterfoil", "-", "+", 9)
        where.client.xclaim(where.stream, "counterfoil", "one", 0, [one.token for one in first], idle=90_000)
        one.keep()
        with stream(where, "two") as two:
            assert values(two.read(9)) == [b"3"]
        assert len(idle) == 2


def test_what_was_deleted_meanwhile_is_acknowledged(where: RedisSource) -> None:
    with stream(where, "one") as one:
        first = one.read(2)
    where.client.xdel(where.stream, first[0].token)
    with stream(where, "one") as one:
        assert values(one.read(2)) == [b"2"]
        assert where.client.xpending(where.stream, "counterfoil")["pending"] == 1


def test_a_group_that_is_gone_ends_the_worker(where: RedisSource) -> None:
    with stream(where, "one") as one:
        where.client.xgroup_destroy(where.stream, "counterfoil")
        with pytest.raises(CounterfoilError, match="or its group counterfoil was deleted"):
            one.read(1)
