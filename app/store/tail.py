"""What is new in a log, each event once, also where a shared store's places are filled out of order."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from app.store.contract import Store
from app.store.records import Decision, LabelEvent

#: Seconds after which a place that was reserved and is still empty stays so, where the store cannot tell who may fill
#: it: no transaction takes as long.
_RESERVED = 15.0


@dataclass(slots=True)
class _Gap:
    """Empty places.

    Attributes:
        since: they are known, by :func:`time.monotonic`.
        waiting: transactions that may fill them; None until the first look after the gap was found, since what was
            under way before that is over by then, or among these.
    """

    since: float
    waiting: frozenset[str] | None = None


class Tail:
    """Follows one log.

    Args:
        after: events up to this place are not read; ``given``: nor are those of these places.

    Attributes:
        settled: everything up to this place has been given out, and nothing more can come there.
    """

    def __init__(self, after: int = 0, given: Iterable[int] = ()) -> None:
        self.settled = after
        self._given = set(given)
        self._gaps: dict[int, _Gap] = {}  # by the place before

    def read(self, store: Store, most: int) -> list[Decision | LabelEvent]:
        """At most so many events that were not given out yet, oldest first.

        Raises:
            StoreUnavailable: none of them counts as given out.
        """
        unfinished = store.unfinished()  # before the log: of whatever is over by now, it has the events
        fresh = (event for event in store.log(self.settled) if event.seq not in self._given)
        found = list(islice(fresh, most))
        self._given.update(event.seq for event in found)
        self._settle(unfinished)
        return found

    @property
    def ahead(self) -> list[int]:
        """Places beyond ``settled`` that were given out, in order: what a follower that goes on later has had."""
        return sorted(self._given)

    def _settle(self, unfinished: frozenset[str] | None) -> None:
        """Move on over what was given out, and over gaps that nothing will fill."""
        now, place, open_ = time.monotonic(), self.settled, False
        gaps: dict[int, _Gap] = {}
        for seq in sorted(self._given):
            if seq > place + 1:
                gap = self._gaps.get(place)
                if gap is None:
                    gaps[place], open_ = _Gap(now), True
                elif _may_fill(gap, unfinished, now):
                    gaps[place], open_ = gap, True
            if not open_:
                self.settled = seq
            place = seq
        self._gaps = gaps
        self._given = {seq for seq in self._given if seq > self.settled}


def _may_fill(gap: _Gap, unfinished: frozenset[str] | None, now: float) -> bool:
    """Whether somebody may fill a gap that was there the last time, too."""
    if unfinished is None:
        return now - gap.since < _RESERVED
    gap.waiting = unfinished if gap.waiting is None else gap.waiting & unfinished
    return bool(gap.waiting)
