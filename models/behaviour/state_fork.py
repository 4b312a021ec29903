"""Behaviour features of rows that go on from states without touching them: batch scoring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, replay
from models.rows import ParsedRows

#: Gives the states of those of the entities that have one. They are only read.
Lookup = Callable[[Sequence[EntityKey]], Mapping[EntityKey, State]]
_LATEST = P.LATEST_SECONDS * 1_000_000
#: Why such a row has no behaviour features.
TOO_LATE = f"more than {P.LATEST_SECONDS // 86_400} days before what its card or merchant already has: no history"


def too_late_before(state: State | None) -> int:
    """The moment in microseconds before which an event is too late for a state."""
    return L.NEVER if state is None or state[L.NEWEST] == L.NEVER else int(state[L.NEWEST]) - _LATEST


class StateFork:
    """A copy of the states that goes on with the rows it is given; what it was copied from stays.

    Args:
        lookup: the states to begin with; asked once for every entity. None: all are new.
        known_as: gives rows the ids under which ``lookup`` knows their entities, where it knows them by others.
    """

    def __init__(
        self,
        behaviour: Behaviour,
        lookup: Lookup | None,
        known_as: Callable[[ParsedRows], ParsedRows] = lambda rows: rows,
    ) -> None:
        self.behaviour = behaviour
        self.lookup = lookup
        self._known_as = known_as
        self._states: dict[EntityKey, State | None] = {}

    def take(self, parsed: ParsedRows) -> tuple[ParsedRows, NDArray[np.float64]]:
        """The next rows, in order of arrival: those that can be scored, and their features [n, behaviour features]."""
        events = self.events(parsed)
        self._load(events)
        late = self._late(events, len(parsed.time))
        if late.any():
            parsed = parsed.refuse(late, self.behaviour.timestamp, TOO_LATE)
            events = self.events(parsed)
        replayed = replay(self.behaviour, events, before=self._states.get, keep=True)
        self._states |= replayed.states
        return parsed, replayed.features

    def events(self, parsed: ParsedRows) -> list[EntityEvents]:
        """What rows are to each kind of entity.

        Labels, where the rows have them, count once the label delay is over and the label is known.
        """
        entity = self._known_as(parsed).entity
        return self.behaviour.of_columns(parsed.time, parsed.numeric, parsed.text, entity, parsed.fraud, parsed.known)

    def _load(self, events: list[EntityEvents]) -> None:
        wanted = [key for e in events for d in e.digests if (key := (e.name, d)) not in self._states]
        found = self.lookup(wanted) if self.lookup else {}
        for key in wanted:
            self._states[key] = found.get(key)

    def _late(self, events: list[EntityEvents], rows: int) -> NDArray[np.bool_]:
        late = np.zeros(rows, bool)
        for entity in events:
            begin = np.full(len(entity.digests), L.NEVER, np.int64)
            for i, digest in enumerate(entity.digests):
                state = self._states[entity.name, digest]
                if state is not None:
                    begin[i] = state[L.NEWEST]
            order = np.argsort(entity.group, kind="stable")
            time, group = entity.events[order, 0], entity.group[order]
            newest = _running_maximum(time, group, begin)
            late[order] |= (newest != L.NEVER) & (time < newest - _LATEST)
        return late


def _running_maximum(time: NDArray[np.int64], group: NDArray[np.int64], begin: NDArray[np.int64]) -> NDArray[np.int64]:
    """Per row the largest time before it in its group, rows being sorted by group."""
    newest = np.empty_like(time)
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    for start, end in pairwise([*starts.tolist(), len(time)]):
        newest[start:end] = np.maximum.accumulate(
            np.concatenate([begin[group[start] : group[start] + 1], time[start : end - 1]])
        )
    return newest
