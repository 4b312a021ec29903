"""Compacting and erasing in a Redis store, while other processes write to it."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from app.store.errors import OtherStates, StoreInUse, StoreUnavailable
from app.store.records import Decision
from app.store.redis.keys import Beginning, RedisKeys
from app.store.redis.wire import Command, Lost, Wire, Wires
from models.behaviour.keys import EntityKey

#: Milliseconds after its last step that a purge counts as broken off, and another one may begin.
_OVER = 60_000
#: Tries until other processes that write to the same names count as a failure.
_TRIES = 200
#: Seconds between two looks at whether the server has rewritten its files.
_LOOK = 0.05
_BUSY = ("aof_rewrite_in_progress", "aof_rewrite_scheduled", "rdb_bgsave_in_progress")


@dataclass(frozen=True, slots=True)
class _Step:
    """What one transaction of a purge writes, and how much it erases."""

    commands: Sequence[Command]
    erased: int = 0


class RedisPurge:
    """Takes the steps of :mod:`app.decisions.purge`, each in one transaction.

    Each watches what it looks at, and the mark of the one purge that there may be: where another process got in
    between, the step looks again.
    """

    def __init__(self, wires: Wires, keys: RedisKeys) -> None:
        self._wires, self._keys = wires, keys
        self._mine = secrets.token_hex(8).encode()

    @contextmanager
    def only(self) -> Iterator[None]:
        """See :meth:`app.store.contract.Store.purging`."""
        self._step([], lambda _wire, _begun: _Step([]))
        over = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(over,), name="purge-mark", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            with suppress(StoreUnavailable, StoreInUse):  # then it ends by itself
                self._step([], lambda _wire, _begun: _Step([("DEL", self._keys.purge)]))

    def _renew(self, over: threading.Event) -> None:
        """A step may take longer than the mark holds."""
        while not over.wait(_OVER / 4_000):
            with suppress(StoreUnavailable, StoreInUse):
                self._step([], lambda _wire, _begun: _Step([]))

    def settle(self) -> int:
        """See :meth:`app.store.contract.Store.settle`. Every transaction watches the origin: written anew, it makes
        those begin again that reserved their places before."""
        for _ in range(_TRIES):
            with self._wires.wire() as wire:
                _, origin = wire.run(("WATCH", self._keys.origin), ("GET", self._keys.origin))
                touch: list[Command] = [("SET", self._keys.origin, origin or b"")]
                touch += [] if origin else [("DEL", self._keys.origin)]
                *_, done = wire.run(("MULTI",), *touch, ("GET", self._keys.seq), ("EXEC",))
                if done is not None:
                    return int(done[-1] or 0)
        raise self._contended()

    def compacted(self) -> tuple[Beginning, int]:
        """A beginning, and up to which place its base has the log."""
        begun = Beginning.parse(self._wires.one("GET", self._keys.origin))
        return begun, int(self._wires.one("GET", self._keys.compacted(begun.number)) or 0)

    def compact(self, begun: Beginning | None, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """See :meth:`app.store.contract.Store.compact`.

        Args:
            begun: the beginning that the base is of; None for whatever it is.
        """

        def step(_wire: Wire, now: Beginning) -> _Step:
            if begun is not None and now.number != begun.number:
                raise OtherStates(f"{self._wires.name}: its states have begun anew meanwhile; try again")
            content = [("HSET", self._keys.base(now.number, key[0]), key[1], value) for key, value in base.items()]
            return _Step([*content, ("SET", self._keys.compacted(now.number), compacted)])

        self._step([], step)

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey]) -> int:
        """See :meth:`app.store.contract.Store.erase`."""
        ids = [one.transaction_id for one in decisions if one.transaction_id is not None]
        watched = [self._keys.labels(name) for name in ids]
        watched += [self._keys.name(name) for one in decisions for name in one.names]
        watched += [self._keys.entity(key) for key in entities]

        def step(wire: Wire, begun: Beginning) -> _Step:
            compacted = int(wire.one("GET", self._keys.compacted(begun.number)) or 0)
            found = wire.run(*(("LRANGE", self._keys.labels(name), 0, -1) for name in ids))
            labels = dict(zip(ids, (list(map(int, seqs)) for seqs in found), strict=True))
            there = wire.run(*(("HEXISTS", self._keys.events(one.seq), one.seq) for one in decisions))
            left = wire.run(*(("ZCARD", self._keys.entity(key)) for key in entities))
            commands: list[Command] = []
            erased = 0
            for one, exists in zip(decisions, there, strict=True):
                mine = labels.get(one.transaction_id or "", [])
                if exists and max(mine, default=0) <= compacted:
                    commands += self._of_decision(one, mine)
                    erased += 1
            for key, count in zip(entities, left, strict=True):
                if not count:
                    commands += self._of_entity(begun.number, key)
                    erased += 1
            return _Step(commands, erased)

        return self._step(watched, step)

    def _of_decision(self, one: Decision, labels: Sequence[int]) -> Iterator[Command]:
        for seq in (one.seq, *labels):
            yield ("HDEL", self._keys.events(seq), seq)
        for name in one.names:
            yield ("DEL", self._keys.name(name))
        if one.transaction_id is not None:
            yield ("DEL", self._keys.label(one.transaction_id), self._keys.labels(one.transaction_id))
        for key in dict.fromkeys(one.keys):
            yield ("ZREM", self._keys.entity(key), one.seq)

    def _of_entity(self, number: int, key: EntityKey) -> Iterator[Command]:
        state = self._keys.state(number, key)
        yield ("SET", state, b"")  # whoever has read the base, which nobody watches, begins again
        yield ("DEL", state)
        yield ("HDEL", self._keys.base(number, key[0]), key[1])

    def _step(self, watched: Sequence[str], step: Callable[[Wire, Beginning], _Step]) -> int:
        """Take a step; returns how much it erased.

        Raises:
            StoreInUse: another purge has begun.
        """
        for attempt in range(_TRIES):
            with self._wires.wire() as wire:
                names = (self._keys.purge, self._keys.origin)
                _, (owner, origin) = wire.run(("WATCH", *names, *watched), ("MGET", *names))
                try:
                    if owner not in (None, self._mine):
                        raise StoreInUse(
                            f"{self._wires.name}: another purge is running; begin this one once it is done"
                        )
                    taken = step(wire, Beginning.parse(origin))
                except BaseException:
                    wire.forget()
                    raise
                mark = ("SET", self._keys.purge, self._mine, "PX", _OVER)
                *_, done = wire.run(("MULTI",), mark, *taken.commands, ("EXEC",))
                if done is not None:
                    return taken.erased
            time.sleep(min(attempt, 20) / 1_000)
        raise self._contended()

    def _contended(self) -> StoreUnavailable:
        return StoreUnavailable(f"{self._wires.name}: other processes kept writing; try again")

    def scrub(self) -> bool:
        """See :meth:`app.store.contract.Store.scrub`. The server rewrites those of its files that it keeps."""
        if self._told()["aof_enabled"] == "1" and not self._rewritten("BGREWRITEAOF", "aof", "bgrewrite"):
            return False
        try:
            _, snapshots = self._wires.one("CONFIG", "GET", "save")
        except Lost:
            raise
        except (StoreUnavailable, ValueError):  # it may not be asked
            snapshots = b"?"
        return not snapshots or self._rewritten("BGSAVE", "rdb", "bgsave")

    def _rewritten(self, command: str, kind: str, name: str) -> bool:
        """Whether the server did so just now; one that may not be told does not."""
        self._idle()  # what it began before may have what was erased
        try:
            self._wires.one(command)
        except Lost:
            raise
        except StoreUnavailable:
            return False
        self._idle()
        return self._told()[f"{kind}_last_{name}_status"] == "ok"

    def _idle(self) -> None:
        while True:
            told = self._told()
            if not any(int(told[name]) for name in _BUSY):
                return
            time.sleep(_LOOK)

    def _told(self) -> dict[str, str]:
        lines = self._wires.one("INFO", "persistence").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)
