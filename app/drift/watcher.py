"""Drift beside the running service: asked for, and looked at once a minute for the metrics."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from anyio.to_thread import run_sync

from app.drift.days import Days
from app.drift.reply import DriftReply, drift_reply
from app.serving import Serving
from app.store.contract import Store
from models.registry import Registry
from models.scorer import Scorer

#: Seconds that an answer holds: to find the causes scores thousands of rows again.
_HOLDS = 60.0


@dataclass(frozen=True, slots=True)
class AlertDay:
    """A whole day of the network that serves, under whatever threshold.

    Attributes:
        day: counted from 1970 (UTC), or from the start where times are none of the calendar.
        low, high: alerts that were promised for as many transactions, by the threshold of that day.
    """

    day: int
    alerts: int
    low: float
    high: float


class DriftWatcher:
    """Counts the decisions of the network that serves: another threshold goes on, another network begins anew.

    Args:
        serving: what answers, and with it the store.
        registry: has the versions.
    """

    def __init__(self, serving: Serving, registry: Registry) -> None:
        self._serving, self._registry = serving, registry
        self._lock = threading.Lock()
        self._days: Days | None = None
        self._told: tuple[float, DriftReply] | None = None

    async def drift(self) -> DriftReply:
        """Whether the version that serves still raises as many alerts as it promised, and which features make the
        difference. Looked at anew once a minute at most."""
        generation, ledger = self._serving.now()
        return await run_sync(self._explained, generation.scorer, ledger.recorder.store)

    async def by_day(self, most: int) -> list[AlertDay]:
        """Alerts of the latest whole days beside what was promised, oldest first, at most so many."""
        generation, ledger = self._serving.now()
        return await run_sync(self._by_day, generation.scorer, ledger.recorder.store, most)

    def look(self) -> DriftReply | None:
        """The same without causes; None while no model is loaded. May take seconds: not on the event loop.

        Raises:
            StoreUnavailable: the log cannot be read now.
        """
        generation, ledger = self._serving.generation, self._serving.ledger
        if generation is None or ledger is None:
            return None
        with self._lock:
            days = self._counted(generation.scorer, ledger.recorder.store)
            return drift_reply(generation.scorer, days, explain=False)

    def _by_day(self, scorer: Scorer, store: Store, most: int) -> list[AlertDay]:
        with self._lock:
            days = self._counted(scorer, store)
            return [AlertDay(day, days.alerts[day], days.low[day], days.high[day]) for day in days.whole()[-most:]]

    def _explained(self, scorer: Scorer, store: Store) -> DriftReply:
        with self._lock:
            version = scorer.manifest.version
            if self._told is not None and self._told[1].model_version == version:
                moment, told = self._told
                if time.monotonic() - moment < _HOLDS:
                    return told
            reply = drift_reply(scorer, self._counted(scorer, store))
            self._told = (time.monotonic(), reply)
            return reply

    def _counted(self, scorer: Scorer, store: Store) -> Days:
        version = scorer.manifest.version
        if self._days is None or version not in self._days.promises:
            self._days = Days.of(scorer.manifest, self._registry)
        self._days.read(store)
        return self._days
