"""Events sorted by entity and time, run through the kernel batch by batch: entities of any size in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour.events import Entity, EntityEvents
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, replay_entity

_NO_STATES: Mapping[bytes, State] = {}


def digests_of(keys: NDArray[np.int64]) -> list[bytes]:
    """The 16-byte digests that stand in the rows of an int64 array [n, 2]."""
    return [key.tobytes() for key in keys]


def keys_of(digests: list[bytes]) -> NDArray[np.int64]:
    """Digests as int64 [n, 2], to sort and compare by; :func:`digests_of` gives them back."""
    return np.frombuffer(b"".join(digests), np.int64).reshape(-1, 2)


class EntityStream:
    """The features of one kind of entity, to the bit those of :func:`models.behaviour.replay.replay`.

    The events of an entity come together and in the order of time, cut into batches anywhere. Between two batches only
    the last entity's state is kept, and those of its labels that are not known yet.

    Args:
        entity: whose features.
        ended: told the digest and the state of each entity that has no more events; None: states are not wanted.
    """

    def __init__(self, entity: Entity, ended: Callable[[bytes, State], None] | None = None) -> None:
        self._entity, self._ended = entity, ended
        self._begun: dict[bytes, State] = {}
        self._last: bytes | None = None
        self._state: State | None = None
        #: Labels of the last entity that are to come: since when each is known, and the time of its event. A heap.
        self._labels: list[tuple[int, int]] = []

    def take(
        self,
        keys: NDArray[np.int64],
        events: NDArray[np.int64],
        known: NDArray[np.int64] | None = None,
        begins: Mapping[bytes, State] = _NO_STATES,
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """The next events.

        Args:
            keys: int64 [n, 2], the digest of each event's entity, from :func:`keys_of`.
            events: int64 [n, 4 + code columns], as :func:`models.behaviour.kernel.advance` takes them.
            known: int64 [n], microseconds since when a fraud is known; None: as soon as the label delay is over.
            begins: states that entities begin with, sorted as the events are; each comes with its entity's first event
                or before, and may be of an entity without events.

        Returns:
            Features [n, features], NaN where an event is too late; and the kernel's answers [n].
        """
        self._begun.update(begins)
        features = np.empty((len(keys), self._entity.out.stop - self._entity.out.start))
        status = np.zeros(len(keys), np.int8)
        starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1))[: len(keys)])
        digests, bounds = digests_of(keys[starts]), np.append(starts, len(keys))
        rows = [slice(start, end) for start, end in pairwise(bounds.tolist())]

        def run(part: slice, some: Callable[..., tuple[NDArray[np.float64], NDArray[np.int8]]]) -> None:
            features[part], status[part] = some(events[part], None if known is None else known[part])

        if digests and digests[0] == self._last:
            run(rows.pop(0), self._go_on)
            del digests[0]
        if digests:
            self._end()
            *whole, self._last = digests
            if whole:
                group = np.repeat(np.arange(len(whole)), [part.stop - part.start for part in rows[:-1]])
                run(slice(rows[0].start, rows[-1].start), lambda some, known: self._whole(whole, group, some, known))
            self._state = self._begun.pop(self._last, None)
            run(rows[-1], self._go_on)
        while len(self._begun) > 1:  # all but the last one can have no events any more
            digest = next(iter(self._begun))
            self._tell(digest, self._begun.pop(digest))
        return features, status

    def finish(self) -> None:
        """The last event has come."""
        self._end()
        for digest, state in self._begun.items():
            self._tell(digest, state)
        self._begun.clear()

    def _tell(self, digest: bytes, state: State) -> None:
        if self._ended is not None:
            self._ended(digest, state)

    def _end(self) -> None:
        """The last entity has no more events: the labels that are to come arrive."""
        if self._last is not None and self._state is not None:
            for _, time in sorted(self._labels):
                relabel(self._state, self._entity.plan, time, 1)
            self._tell(self._last, self._state)
        self._last, self._state, self._labels = None, None, []

    def _whole(
        self, digests: list[bytes], group: NDArray[np.int64], events: NDArray[np.int64], known: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Entities all of whose events are here."""
        of = EntityEvents(self._entity.name, group, digests, events, known)
        features, status, states = replay_entity(self._entity, of, before=self._before, keep=self._ended is not None)
        for (_, digest), state in states.items():
            self._tell(digest, state)
        return features, status

    def _before(self, key: EntityKey) -> State | None:
        return self._begun.pop(key[1], None)

    def _go_on(
        self, events: NDArray[np.int64], known: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        """Events of the last entity, which may have more: as many at once as come before its next label."""
        features = np.empty((len(events), self._entity.out.stop - self._entity.out.start))
        status = np.zeros(len(events), np.int8)
        newest = np.int64(L.NEVER) if self._state is None else self._state[L.NEWEST]
        clock = np.maximum(np.maximum.accumulate(events[:, L.E_TIME]), newest)
        at = 0
        while at < len(events):
            end = len(events)
            if self._labels:
                end = int(np.searchsorted(clock, self._labels[0][0], side="right"))
            if end <= at:
                _, time = heapq.heappop(self._labels)
                assert self._state is not None
                relabel(self._state, self._entity.plan, time, 1)
                continue
            part = slice(at, end)
            features[part], status[part] = self._step(
                events[part], None if known is None else known[part], int(clock[end - 1])
            )
            at = end
        return features, status

    def _step(
        self, events: NDArray[np.int64], known: NDArray[np.int64] | None, clock: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
        assert self._last is not None
        later = np.empty(0, np.int64)
        if known is not None:
            later = np.flatnonzero((events[:, L.E_FRAUD] != 0) & (known >= clock))
            events = events.copy()
            events[later, L.E_FRAUD] = 0
        of = EntityEvents(self._entity.name, np.zeros(len(events), np.int64), [self._last], events, known)
        features, status, states = replay_entity(self._entity, of, before=lambda _: self._state, keep=True)
        (self._state,) = states.values()
        for row in later[status[later] >= 0].tolist():
            assert known is not None
            heapq.heappush(self._labels, (int(known[row]), int(events[row, L.E_TIME])))
        return features, status
