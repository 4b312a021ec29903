"""The states of cards and merchants between transactions: in the memory of the one process that owns the store, or in
a store that several share.

What is here is what the log says, never ahead of it: states come in after their events are committed. Which of them the
store has not saved yet is known, so that saving can be spread over later transactions and a restart replays little.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

from app.recording.state_bytes import to_bytes, to_state
from app.recording.steps import Steps
from app.store.contract import Store
from app.store.errors import OTHER_SECTIONS, OtherStates, StoreUnavailable
from app.store.records import SavedState, View, Writes
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, packed

#: What a state costs beside its own bytes: the array object, the key, the places in two dictionaries.
_OVERHEAD_BYTES = 400


class StateCache:
    """States by entity, least recently used first. Belongs to one thread.

    Args:
        behaviour: what the states are of.
        limit_bytes: above it, saved states leave memory, least recently used first; unsaved ones stay.
        steps: when states are saved, and how many at once.

    Attributes:
        store: keeps what is saved.
        steps: as given.
        bytes: used now.
        unsaved: seq of the first event that the saved state of an entity lacks, oldest first.
        last: the last event that is known to be durable. Any thread may ask.
        unsaved_events: since the first one that a saved state lacks. Any thread may ask.
    """

    def __init__(self, store: Store, behaviour: Behaviour, limit_bytes: int, steps: Steps | None = None) -> None:
        self.store = store
        self.steps = steps or Steps()
        self._limit = limit_bytes
        self._states: OrderedDict[EntityKey, State] = OrderedDict()
        self.behaviour = behaviour
        self._entities = {entity.name: entity for entity in behaviour.entities}
        self.unsaved: OrderedDict[EntityKey, int] = OrderedDict()
        self.bytes = 0
        self.last = 0
        self.unsaved_events = 0

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

    def held(self, keys: Collection[EntityKey]) -> dict[EntityKey, State]:
        """The states of those of the entities that are in memory."""
        return {key: state for key in keys if (state := self.get(key)) is not None}

    def missing(self, keys: Collection[EntityKey]) -> list[EntityKey]:
        """The entities whose states have to be read from the store."""
        return sorted(keys) if self.store.shared else sorted(key for key in keys if key not in self._states)

    def own(self, view: View) -> bool:
        """Whether the store's states are of the declaration that these are of.

        Raises:
            StoreUnavailable: the store is another one by now, or an older copy of it.
            OtherStates: the states are of another declaration, and others go on with them.
        """
        if view.spec is None or view.next_seq <= self.last:
            what = "was emptied" if view.spec is None else "lacks what was recorded: an older copy took its place"
            raise StoreUnavailable(
                f"the store {what}; put back the one that was used, or restart the service to go on with this one"
            )
        if view.spec == self.behaviour.spec:
            return True
        if not self.store.shared:
            return False
        raise OtherStates(OTHER_SECTIONS)

    def committed(self, keys: Collection[EntityKey], view: View) -> dict[EntityKey, State]:
        """The states of entities as of the last commit, not to be changed; one without events is absent.

        Args:
            view: of a transaction that has read the :meth:`missing` ones.

        Raises:
            OtherStates: what the store holds was made under another declaration.
        """
        states = {} if self.store.shared else self.held(keys)
        read = ((key, view.states[key]) for key in keys if key not in states and key in view.states)
        return states | {key: to_state(one.content, self.behaviour.spec) for key, one in read}

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

    def saved(self, keys: Collection[EntityKey]) -> None:
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

    def to_save(
        self, states: Mapping[EntityKey, State], first_seq: Mapping[EntityKey, int], next_seq: int, events: int
    ) -> tuple[dict[EntityKey, SavedState], int | None]:
        """What a transaction saves: all that it changed where others read it, else the states that are due.

        Args:
            states: as the transaction changes them; ``first_seq``: the first event that changes each.
            next_seq: the place of its first event; ``events``: how many it writes.

        Returns:
            The states, and the event up to which every saved state is then complete, where that changes.
        """
        last = next_seq + events - 1
        if self.store.shared:
            return {key: self._packed(key, state, last) for key, state in states.items()}, None
        due = self.due(next_seq - self.steps.save_after, self.steps.save + 4 * events)
        if not due:
            return {}, None
        saved = {
            key: self._packed(key, states[key], last)
            if key in states
            else self._packed(key, self._states[key], next_seq - 1)
            for key in due
        }
        waiting = (seq for key, seq in self.unsaved.items() if key not in saved)
        changed = (seq for key, seq in first_seq.items() if key not in saved)
        return saved, min(next(waiting, last + 1), min(changed, default=last + 1)) - 1

    def keep(
        self,
        states: Mapping[EntityKey, State],
        first_seq: Mapping[EntityKey, int],
        saved: Collection[EntityKey],
        last: int,
    ) -> None:
        """After the commit of a transaction that ends with ``last``: the new states take the place of the old."""
        self.last = last
        if self.store.shared:
            return
        self.saved(saved)
        self.put(states, {key: seq for key, seq in first_seq.items() if key not in saved})
        self.evict()
        self.count_unsaved()

    def count_unsaved(self) -> None:
        """Bring ``unsaved_events`` up to date."""
        oldest = next(iter(self.unsaved.values()), None)
        self.unsaved_events = 0 if oldest is None else self.last + 1 - oldest

    def peek(self, keys: Sequence[EntityKey]) -> dict[EntityKey, State]:
        """Copies of the states of those of the entities that have one."""
        found: dict[EntityKey, State] = {}

        def read(view: View) -> Writes:
            self.own(view)
            found.update((key, state.copy()) for key, state in self.committed(keys, view).items())
            return Writes()

        self.store.transact([], self.missing(set(keys)), 0, read)
        return found

    def save_some(self, before: int) -> bool:
        """Save some of the states that lack an event earlier than ``before``; False where there are none."""
        due = self.due(before, 1_000)
        if not due:
            return False

        def save(view: View) -> Writes:
            if not self.own(view):
                raise OtherStates("another process has used the store for a model with other [entity] sections")
            states = {key: self._packed(key, self._states[key], self.last) for key in due}
            rest = (seq for key, seq in self.unsaved.items() if key not in states)
            return Writes((), (), states, next(rest, self.last + 1) - 1)

        self.store.transact([], [], 0, save)
        self.saved(due)
        return True

    def save_all(self) -> None:
        """Save every state that is not saved, so that a restart replays nothing."""
        while self.save_some(2**62):
            pass

    def _packed(self, key: EntityKey, state: State, seq: int) -> SavedState:
        return SavedState(seq, to_bytes(packed(self._entities[key[0]], state), self.behaviour.spec))
