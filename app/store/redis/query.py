"""Pages of decisions from a Redis store, newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from app.store.packing import unpack_event
from app.store.query import Filter, Page, Recorded, Tally
from app.store.records import Decision, LabelEvent
from app.store.redis.keys import RedisKeys
from app.store.redis.log import RedisLog
from app.store.redis.wire import Wires
from models.forms.time_patterns import DAY


@dataclass(frozen=True)
class Search:
    """How far to look for a page: Redis has no index of what a decision says.

    Attributes:
        at_once: events fetched in one round trip.
        most: looked at for one page; the next one goes on from there.
    """

    at_once: int = 1_024
    most: int = 25_600


SEARCH = Search()


class RedisQuery:
    """Looks through the log from its end, or from that of an entity's decisions."""

    def __init__(self, wires: Wires, keys: RedisKeys, log: RedisLog, search: Search) -> None:
        self._wires, self._keys, self._log, self._search = wires, keys, log, search

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        """See :meth:`app.store.contract.Store.page`. A page may hold few, or none, where few decisions are wanted."""
        end = self._log.last_seq() + 1 if before is None else before
        places = self._places(wanted, end)
        found: list[Recorded] = []
        looked_at = 0
        while some := list(islice(places, self._search.at_once)):
            chosen = [decision for decision in self._decisions(some) if wanted.takes(decision)]
            for recorded in self._with_labels(chosen):
                if wanted.label is None or (recorded.labels and recorded.labels[-1].label == wanted.label):
                    found.append(recorded)
                if len(found) == limit:
                    return Page(found, recorded.decision.seq)
            looked_at += len(some)
            if looked_at >= self._search.most:
                return Page(found, some[-1])
        return Page(found, None)

    def tally(self, version: str, after: int, since: int) -> Tally:
        """See :meth:`app.store.contract.Store.tally`."""
        rows, alerts, last = Counter[int](), Counter[int](), after
        for event in self._log.events(after):
            last = event.seq
            if isinstance(event, Decision) and event.model_version == version and event.arrived_at >= since:
                rows[event.time // DAY] += 1
                alerts[event.time // DAY] += event.score >= event.threshold
        return Tally([(day, count, alerts[day]) for day, count in rows.items()], last)

    def _places(self, wanted: Filter, end: int) -> Iterator[int]:
        if wanted.transaction_id is not None:
            seq = self._wires.one("GET", self._keys.name(wanted.transaction_id))
            yield from () if seq is None or int(seq) >= end else (int(seq),)
        elif wanted.entities:
            yield from self._log.newest_of_key(end, wanted.entities[0])
        else:
            yield from range(end - 1, 0, -1)

    def _decisions(self, places: Sequence[int]) -> Iterator[Decision]:
        for packed in self._log.packed(places):
            event = None if packed is None else unpack_event(packed)
            if isinstance(event, Decision):
                yield event

    def _with_labels(self, decisions: Sequence[Decision]) -> Iterator[Recorded]:
        ids = [one.transaction_id for one in decisions if one.transaction_id is not None]
        commands = [("LRANGE", self._keys.labels(name), 0, -1) for name in ids]
        places = {name: list(map(int, seqs)) for name, seqs in zip(ids, self._wires.run(*commands), strict=True)}
        wanted = [seq for seqs in places.values() for seq in seqs]
        events = {
            seq: unpack_event(packed) for seq, packed in zip(wanted, self._log.packed(wanted), strict=True) if packed
        }
        for one in decisions:
            labels = [events[seq] for seq in places.get(one.transaction_id or "", ()) if seq in events]
            yield Recorded(one, [label for label in labels if isinstance(label, LabelEvent)])
