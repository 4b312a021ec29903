"""What is new in a log, each event once, also where a shared store's places are filled out of order."""

from __future__ import annotations

import time
from itertools import islice

from app.store.contract import Store
from app.store.records import Decision, LabelEvent

#: Seconds after which a place that was reserved and is still empty stays so: no transaction takes as long.
_RESERVED = 15.0


class Tail:
    """Follows one log.

    Args:
        after: events up to this place are not read.

    Attributes:
        settled: everything up to this place has been given out, and nothing more can come there.
    """

    def __init__(self, after: int = 0) -> None:
        self.settled = after
        self._given: set[int] = set()
        #: Gaps, by the place before: since when they are known, by :func:`time.monotonic`.
        self._gaps: dict[int, float] = {}

    def read(self, store: Store, most: int) -> list[Decision | LabelEvent]:
        """At most so many events that were not given out yet, oldest first.

        Raises:
            StoreUnavailable: none of them counts as given out.
        """
        fresh = (event for event in store.log(self.settled) if event.seq not in self._given)
        found = list(islice(fresh, most))
        self._given.update(event.seq for event in found)
        self._settle(_RESERVED if store.shared else 0.0)
        return found

    def _settle(self, patience: float) -> None:
        """Move on over what was given out, and over gaps that nothing will fill."""
        now, place, waiting = time.monotonic(), self.settled, False
        gaps: dict[int, float] = {}
        for seq in sorted(self._given):
            if seq > place + 1:
                known = self._gaps.get(place, now)
                if now - known < patience:
                    gaps[place], waiting = known, True
            if not waiting:
                self.settled = seq
            place = seq
        self._gaps = gaps
        self._given = {seq for seq in self._given if seq > self.settled}
