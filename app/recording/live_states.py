"""The states of cards and merchants in the memory of the one process that owns the store.

What is here is what the log says, never ahead of it: states come in after their events are committed. Which of them the
store has not saved yet is known, so that saving can be spread over later transactions and a restart replays little.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from operator import itemgetter

from models.behaviour.keys import EntityKey
from models.behaviour.replay import State

#: What a state costs beside its own bytes: the array object, the key, the places in two dictionaries.
_OVERHEAD_BYTES = 400


class LiveStates:
    """States by entity, least recently used first. Belongs to one thread.

    Args:
        limit_bytes: above it, saved states leave memory, least recently used first; unsaved ones stay.

    Attributes:
        bytes: used now.
        unsaved: seq of the first event that the saved state of an entity lacks, oldest first.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._states: OrderedDict[EntityKey, State] = OrderedDict()
        self.unsaved: OrderedDict[EntityKey, int] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, key: EntityKey) -> bool:
        return key in self._states

    def get(self, key: EntityKey) -> State | None:
        """The state of an entity, if it is in memory. Copy it before you change it."""
        state = self._states.get(key)
        if state is not None:
            self._states.move_to_end(key)
        return state

    def put(self, states: Mapping[EntityKey, State], first_seq: Mapping[EntityKey, int] | None = None) -> None:
        """Take states in, after their events are committed.

        Args:
            first_seq: of those that changed, the first event that made them change, in any order, none earlier than
                those of an earlier call; the others are as saved.
        """
        for key, state in states.items():
            old = self._states.pop(key, None)
            self.bytes += state.nbytes - (old.nbytes if old is not None else -_OVERHEAD_BYTES)
            self._states[key] = state
        for key, seq in sorted((first_seq or {}).items(), key=itemgetter(1)):
            self.unsaved.setdefault(key, seq)

    def forget(self, key: EntityKey) -> None:
        """Forget an entity, saved or not."""
        state = self._states.pop(key, None)
        if state is not None:
            self.bytes -= state.nbytes + _OVERHEAD_BYTES
        self.unsaved.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._states.clear()
        self.unsaved.clear()
        self.bytes = 0

    def saved(self, keys: Mapping[EntityKey, object]) -> None:
        """Note that the store has these states as they are here."""
        for key in keys:
            self.unsaved.pop(key, None)

    def due(self, before: int, most: int) -> list[EntityKey]:
        """Entities that have waited longest to be saved, those whose first unsaved event is earlier than ``before``."""
        due: list[EntityKey] = []
        for key, seq in self.unsaved.items():
            if seq >= before or len(due) == most:
                break
            due.append(key)
        return due

    def oldest_unsaved(self) -> int | None:
        """The first event that a saved state lacks; None where all are saved."""
        return next(iter(self.unsaved.values()), None)

    def evict(self) -> int:
        """Let saved states go until memory is within its limit; how many went."""
        excess, going = self.bytes - self._limit, []
        for key, state in self._states.items():  # from the one idle longest; those waiting to be saved are few
            if excess <= 0:
                break
            if key not in self.unsaved:
                excess -= state.nbytes + _OVERHEAD_BYTES
                going.append(key)
        for key in going:
            self.bytes -= self._states.pop(key).nbytes + _OVERHEAD_BYTES
        return len(going)
