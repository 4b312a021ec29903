"""One transaction of the store with the states it moves: memory is never ahead of the store, and never behind it.

States are advanced on copies, and the copies take their place after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from app.recording.state_cache import StateCache
from app.store.errors import StoreUnavailable
from app.store.records import Decision, LabelEvent, Name, View, Writes
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State


@dataclass(frozen=True, slots=True)
class Work:
    """What a transaction comes to.

    Attributes:
        states: that it moves; ``first_seq``: the first event that moves each.
        decisions, labels: what it writes to the log.
    """

    states: Mapping[EntityKey, State]
    first_seq: Mapping[EntityKey, int]
    decisions: Sequence[Decision] = ()
    labels: Sequence[LabelEvent] = ()


class _Behind(Exception):
    """The log holds more than memory knows of, or the states are of another declaration: another process had them."""


class Commits:
    """Runs them. Belongs to one thread.

    Args:
        states: in memory.

    Attributes:
        refill: fills ``states`` from the store.
    """

    def __init__(self, states: StateCache, refill: Callable[[], object]) -> None:
        self._states, self.refill = states, refill

    def run(
        self,
        names: Sequence[Name],
        keys: Collection[EntityKey],
        events: int,
        work: Callable[[View], Work],
        labelled: Sequence[str] = (),
    ) -> None:
        """As :meth:`app.store.contract.Store.transact`; memory follows once it is durable.

        Raises:
            StoreUnavailable: nothing was recorded.
        """
        states, store = self._states, self._states.store
        done: list[tuple[Work, Writes, int]] = []

        def write(view: View) -> Writes:
            if not states.own(view) or (not store.shared and view.next_seq != states.last + 1):
                raise _Behind
            found = work(view)
            count = len(found.decisions) + len(found.labels)
            saved, watermark = states.to_save(found.states, found.first_seq, view.next_seq, count)
            writes = Writes(found.decisions, found.labels, saved, watermark)
            done[:] = [(found, writes, view.next_seq + count - 1)]
            return writes

        try:
            store.transact(names, states.missing(keys), events, write, labelled)
        except _Behind:
            self._catch_up()
            store.transact(names, states.missing(keys), events, write, labelled)
        found, writes, last = done[0]
        states.keep(found.states, found.first_seq, writes.states, last)

    def _catch_up(self) -> None:
        """Make memory anew from the store: a commit whose answer was lost has been kept after all."""
        self._states.clear()
        try:
            self.refill()
        except StoreUnavailable:
            self._states.clear()  # half of it would pass for all
            raise
        self._states.last = self._states.store.last_seq()
