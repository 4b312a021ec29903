"""Reads the log of a Redis store, some buckets at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import groupby, islice

from app.store.packing import unpack_decision, unpack_event
from app.store.records import Decision, LabelEvent, LogColumns
from app.store.redis.keys import RedisKeys
from app.store.redis.wire import Wires
from models.behaviour.keys import EntityKey

#: Buckets per round trip; places per round trip.
_BUCKETS, _SEQS = 8, 1_000


class RedisLog:
    """The log under one prefix."""

    def __init__(self, wires: Wires, keys: RedisKeys) -> None:
        self._wires, self._keys = wires, keys

    def last_seq(self, compacted: int = 0) -> int:
        """The last place that holds an event: reserved places may have stayed empty. What is compacted stays taken."""
        reserved = int(self._wires.one("GET", self._keys.seq) or 0)
        for bucket in reversed(self._keys.buckets(compacted, reserved)):
            if taken := self._wires.one("HKEYS", bucket):
                return max(compacted, *map(int, taken))
        return compacted

    def events(self, after: int) -> Iterator[Decision | LabelEvent]:
        """All events, oldest first."""
        buckets = iter(self._keys.buckets(after + 1, self.last_seq()))
        while part := list(islice(buckets, _BUCKETS)):
            for flat in self._wires.run(*(("HGETALL", bucket) for bucket in part)):
                found = sorted(zip(map(int, flat[::2]), flat[1::2], strict=True))
                yield from (unpack_event(packed) for seq, packed in found if seq > after)

    def of_keys(self, after: int, keys: Sequence[EntityKey]) -> Iterator[Decision | LabelEvent]:
        """Decisions of some entities and their labels. Of these labels, the places are held in memory."""
        horizon = self.last_seq()
        label_seqs: set[int] = set()
        for decisions in self._batches(self._decision_seqs(0, horizon, keys)):
            ids = [decision.transaction_id for decision in map(unpack_decision, decisions)]
            commands = [("LRANGE", self._keys.labels(name), 0, -1) for name in ids if name is not None]
            for seqs in self._wires.run(*commands):
                label_seqs.update(seq for seq in map(int, seqs) if after < seq <= horizon)
        seqs = merge(self._decision_seqs(after, horizon, keys), sorted(label_seqs))
        for packed in self._batches(seqs):
            yield from map(unpack_event, packed)

    def columns(self, after: int, chunk: int) -> Iterator[LogColumns]:
        """Stretches of the log with at most ``chunk`` events."""
        events = self.events(after)
        while stretch := list(islice(events, chunk)):
            decisions = [event for event in stretch if isinstance(event, Decision)]
            yield LogColumns(
                [decision.seq for decision in decisions],
                [decision.transaction_id for decision in decisions],
                [decision.time for decision in decisions],
                [decision.body for decision in decisions],
                [event for event in stretch if isinstance(event, LabelEvent)],
            )

    def newest_of_key(self, end: int, key: EntityKey) -> Iterator[int]:
        """Places before ``end`` of an entity's decisions, newest first."""
        name = self._keys.entity(key)
        while found := self._wires.one("ZREVRANGEBYSCORE", name, f"({end}", "-inf", "LIMIT", 0, _SEQS):
            yield from map(int, found)
            end = int(found[-1])

    def packed(self, seqs: Sequence[int]) -> list[bytes | None]:
        """Events of these places, in this order; None where there is none."""
        return self._wires.run(*(("HGET", self._keys.events(seq), seq) for seq in seqs))

    def _batches(self, seqs: Iterator[int]) -> Iterator[list[bytes]]:
        while wanted := list(islice(seqs, _SEQS)):
            yield [packed for packed in self.packed(wanted) if packed is not None]

    def _decision_seqs(self, after: int, horizon: int, keys: Sequence[EntityKey]) -> Iterator[int]:
        sources = (self._of_key(after, horizon, key) for key in dict.fromkeys(keys))
        return (seq for seq, _ in groupby(merge(*sources)))

    def _of_key(self, after: int, horizon: int, key: EntityKey) -> Iterator[int]:
        while True:
            name = self._keys.entity(key)
            found = self._wires.one("ZRANGEBYSCORE", name, f"({after}", horizon, "LIMIT", 0, _SEQS)
            yield from map(int, found)
            if len(found) < _SEQS:
                return
            after = int(found[-1])
