"""The log as those who send alerts read it: a stretch at a time, or one place, by one thread at a time."""

from __future__ import annotations

import threading

from app.store.contract import Store
from app.store.query import Filter
from app.store.records import Decision
from app.store.tail import Tail
from models.thresholds import DECISIONS

#: Events read at once.
_STRETCH = 256


class AlertLog:
    """One store, opened to be read. Every method raises :class:`~app.store.errors.StoreUnavailable` as it does."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()

    def last_seq(self) -> int:
        """The last place that is taken."""
        with self._lock:
            return self._store.last_seq()

    def read(self, tail: Tail) -> tuple[int, list[Decision]]:
        """How many events a stretch of the log had, and the alerts among them, the oldest first."""
        with self._lock:
            events = tail.read(self._store, _STRETCH)
        return len(events), [one for one in events if isinstance(one, Decision) and one.decision != DECISIONS[0]]

    def at(self, seq: int) -> Decision | None:
        """The decision at a place; None where it was erased."""
        with self._lock:
            found = self._store.page(Filter(), seq + 1, 1).decisions
        return found[0].decision if found and found[0].decision.seq == seq else None
