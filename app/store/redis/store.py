"""The store on Redis, shared by the processes of several hosts. As long as the contract is."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import islice
from operator import attrgetter

from app.store.contract import Durability
from app.store.errors import BegunMeanwhile, StillBuilding, StoreUnavailable
from app.store.packing import pack_state, unpack_decision
from app.store.query import Filter, Page, Tally
from app.store.records import (
    Activation,
    Decision,
    KeptRules,
    LabelEvent,
    ListChange,
    LogColumns,
    Name,
    Origin,
    SavedState,
    View,
    Writes,
)
from app.store.redis.config import risks
from app.store.redis.keys import Beginning, RedisKeys
from app.store.redis.log import RedisLog
from app.store.redis.purge import RedisPurge
from app.store.redis.query import SEARCH, RedisQuery, Search
from app.store.redis.transaction import commit, view
from app.store.redis.wire import Wire, Wires
from models.behaviour.keys import EntityKey
from models.errors import InvalidInput

#: Tries until other processes that write to the same entities count as a failure.
_TRIES = 200
_BASE_ROWS = 5_000


class RedisStore:
    """See :class:`app.store.contract.Store`.

    A transaction watches its names and entities, reserves its places, computes, and writes all or nothing; where
    another process wrote to one of them in between, it begins again with new places. So the order of an entity's events
    is the order of their places. What is written must be among the names and entities that were asked for.

    Redis must be told to keep what it acknowledges; :mod:`app.store.redis.config` looks whether it is. Every state is
    written with its event, so nothing needs replaying.

    Args:
        url: ``redis://[:password@]host:port/db``.
        prefix: of every key.
        durability: what the server's configuration is to be good for.
        read_only: never write; :meth:`transact` then refuses what ``work`` returns unless it is empty.
        search: how far one page looks.

    Raises:
        InvalidInput: the URL cannot be understood.
        StoreUnavailable: the server cannot be reached.
    """

    shared = True

    def __init__(
        self,
        url: str,
        prefix: str = "counterfoil:",
        *,
        durability: Durability = "full",
        read_only: bool = False,
        search: Search = SEARCH,
    ) -> None:
        try:
            self._wires = Wires(url)
            self.risks: Sequence[str] = risks(self._wires, durability)
        except (ValueError, TypeError):
            raise InvalidInput("store URL: expected redis://[:PASSWORD@]HOST:6379/0") from None
        self._keys = RedisKeys(prefix)
        self._log = RedisLog(self._wires, self._keys)
        self._query = RedisQuery(self._wires, self._keys, self._log, search)
        self._purge = RedisPurge(self._wires, self._keys)
        self._read_only = read_only
        self._begun = Beginning()
        self._compacting: Beginning | None = None  # whose compacted place was asked for last

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        """See the contract."""
        for attempt in range(_TRIES):
            with self._wires.wire() as wire:
                if self._attempt(wire, names, keys, events, work, labelled):
                    return
            time.sleep(random.random() * min(attempt, 20) / 1000)
        raise StoreUnavailable(f"{self._wires.name}: other processes kept writing to the same entities; try again")

    def _attempt(
        self,
        wire: Wire,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str],
    ) -> bool:
        """False where another process got in between."""
        watching = True
        try:
            places = 0 if self._read_only else events
            thought = self._begun
            begun, seen = view(wire, self._keys, thought, names, keys, labelled, places)
            if begun != thought:  # the states have other names now
                self._begun = begun
                return False
            if begun.origin is not None and begun.origin.building:
                raise StillBuilding(self._wires.name)
            writes = work(seen)
            if writes == Writes():
                return True
            if self._read_only:
                raise self._refusal()
            watching = False
            return commit(self._wires, wire, self._keys, begun.number, writes)
        finally:
            if watching:
                wire.forget()

    def prove(self) -> None:
        """See the contract. A server takes all writes or none."""
        if self._read_only:
            raise self._refusal()
        self._wires.run(("MULTI",), ("SET", self._keys.proof, "x"), ("DEL", self._keys.proof), ("EXEC",))

    def origin(self) -> Origin | None:
        """See the contract."""
        return Beginning.parse(self._wires.one("GET", self._keys.origin)).origin

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        """See the contract. The new states have other names: to begin anew is one write, after the base is there."""
        if self._read_only:
            raise self._refusal()
        meanwhile = BegunMeanwhile(f"{self._wires.name}: another process began anew at the same time; try again")
        with self._wires.wire() as wire:
            watch = (("WATCH", self._keys.origin), ("GET", self._keys.origin), ("INCR", self._keys.beginnings))
            _, before, number = wire.run(*watch)
            names: set[str] = set()
            try:
                if Beginning.parse(before).origin != instead_of:
                    raise meanwhile
                rows = iter(base)
                while part := list(islice(rows, _BASE_ROWS)):
                    names |= {self._keys.base(number, entity) for (entity, _), _ in part}
                    wire.run(*(("HSET", self._keys.base(number, key[0]), key[1], content) for key, content in part))
                begun = Beginning(number, bool(names), origin)
                values = (("SET", self._keys.origin, begun.dump()), ("SET", self._keys.watermark, 0))
                *_, done = wire.run(("MULTI",), *values, ("EXEC",))
            except BaseException:
                wire.forget()
                raise
            if done is None:
                wire.run(*(("UNLINK", name) for name in names))
                raise meanwhile
            self._begun = begun
            self._remove_before(wire, number)

    def finish(self, origin: Origin, states: Iterable[tuple[EntityKey, SavedState]]) -> None:
        """See the contract. Nobody reads the states by their names before the origin says so."""
        self._writing()
        number, rows = self._begun.number, iter(states)
        with self._wires.wire() as wire:
            _, found = wire.run(("WATCH", self._keys.origin), ("GET", self._keys.origin))
            try:
                now = Beginning.parse(found)
                while now.number == number and (part := list(islice(rows, _BASE_ROWS))):
                    wire.run(*(("SET", self._keys.state(number, key), pack_state(state)) for key, state in part))
                begun = replace(now, origin=origin)
                values = (("SET", self._keys.origin, begun.dump()), ("SET", self._keys.watermark, origin.seq))
                *_, done = wire.run(("MULTI",), *values, ("EXEC",)) if now.number == number else (None,)
            except BaseException:
                wire.forget()
                raise
            if done is None:
                wire.forget()
                raise BegunMeanwhile(f"{self._wires.name}: another process began anew at the same time; try again")
            self._begun = begun

    def _remove_before(self, wire: Wire, number: int) -> None:
        """Free what no name leads to any more. May be broken off: the next beginning does it again."""
        cursor = b""
        while cursor != b"0":
            cursor, names = wire.one("SCAN", cursor or 0, "MATCH", self._keys.all_begun, "COUNT", _BASE_ROWS)
            if old := [name for name in names if self._keys.begun(name) < number]:
                wire.one("UNLINK", *old)

    def base_states(self, keys: Sequence[EntityKey]) -> dict[EntityKey, bytes]:
        """See the contract."""
        number = Beginning.parse(self._wires.one("GET", self._keys.origin)).number
        commands = [("HGET", self._keys.base(number, entity), key) for entity, key in keys]
        found = self._wires.run(*commands)
        return {key: content for key, content in zip(keys, found, strict=True) if content is not None}

    def watermark(self) -> int:
        """See the contract."""
        return int(self._wires.one("GET", self._keys.watermark) or 0)

    def compacted(self) -> int:
        """See the contract."""
        self._compacting, compacted = self._purge.compacted()
        return compacted

    def unfinished(self) -> None:
        """See the contract: the server does not know."""

    def settle(self) -> int:
        """See the contract."""
        return self._writing().settle()

    def purging(self) -> AbstractContextManager[None]:
        """See the contract."""
        return self._writing().only()

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """See the contract."""
        self._writing().compact(self._compacting, base, compacted)

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> int:
        """See the contract."""
        return self._writing().erase(decisions, entities)

    def scrub(self) -> bool:
        """See the contract."""
        return self._purge.scrub()

    def last_seq(self) -> int:
        """See the contract."""
        return self._log.last_seq(self._purge.compacted()[1])

    def log(self, after: int = 0, keys: Sequence[EntityKey] | None = None) -> Iterator[Decision | LabelEvent]:
        """See the contract. Not seen: events that were still being written when the reading passed their place."""
        return self._log.events(after) if keys is None else self._log.of_keys(after, keys)

    def log_columns(self, after: int = 0, chunk: int = 50_000) -> Iterator[LogColumns]:
        """See the contract."""
        return self._log.columns(after, chunk)

    def find(self, transaction_id: str) -> Decision | None:
        """See the contract."""
        seq = self._wires.one("GET", self._keys.name(transaction_id))
        packed = None if seq is None else self._log.packed([int(seq)])[0]
        return None if packed is None else unpack_decision(packed)

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        """See the contract."""
        return self._query.page(wanted, before, limit)

    def tally(self, version: str, after: int, since: int) -> Tally:
        """See the contract."""
        return self._query.tally(version, after, since)

    def activate(self, activation: Activation) -> bool:
        """See the contract."""
        if self._read_only:
            raise self._refusal()
        content = json.dumps(asdict(activation))
        return bool(self._wires.one("HSETNX", self._keys.activations, activation.number, content))

    def activations(self) -> Sequence[Activation]:
        """See the contract."""
        found = self._wires.one("HVALS", self._keys.activations)
        return sorted((Activation(**json.loads(content)) for content in found), key=attrgetter("number"))

    def change_lists(self, changes: Sequence[ListChange]) -> bool:
        """See the contract."""
        if self._read_only:
            raise self._refusal()
        name = self._keys.list_changes
        with self._wires.wire() as wire:
            _, last = wire.run(("WATCH", name), ("LLEN", name))
            if changes[0].number != last + 1:
                wire.forget()
                return False
            push = ("RPUSH", name, *(json.dumps(asdict(one)) for one in changes))
            *_, done = wire.run(("MULTI",), push, ("EXEC",))
            return done is not None

    def list_changes(self, after: int = 0) -> Sequence[ListChange]:
        """See the contract."""
        found = self._wires.one("LRANGE", self._keys.list_changes, after, -1)
        return [ListChange(**json.loads(content)) for content in found]

    def keep_rules(self, rules: KeptRules) -> None:
        """See the contract."""
        if self._read_only:
            raise self._refusal()
        self._wires.one("HSET", self._keys.rules, rules.version, json.dumps(asdict(rules)))

    def kept_rules(self) -> Sequence[KeptRules]:
        """See the contract."""
        found = self._wires.one("HVALS", self._keys.rules)
        return sorted((KeptRules(**json.loads(content)) for content in found), key=attrgetter("at"))

    def desk(self) -> None:
        """See the contract: alerts in the order of their scores, claims and notes want an SQL database."""

    def size(self) -> int:
        """See the contract."""
        memory = self._wires.one("INFO", "memory").decode()
        return int(memory.partition("used_memory:")[2].partition("\r\n")[0])

    def close(self) -> None:
        """See the contract."""
        self._wires.close()

    def _writing(self) -> RedisPurge:
        if self._read_only:
            raise self._refusal()
        return self._purge

    def _refusal(self) -> InvalidInput:
        return InvalidInput(f"{self._wires.name} was opened for reading only")
