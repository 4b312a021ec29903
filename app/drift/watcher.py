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
from models.drift import Promise
from models.scorer import Scorer

#: Seconds that an answer holds: to find the causes scores thousands of rows again.
_HOLDS = 60.0


@dataclass(frozen=True, slots=True)
class AlertDay:
    """A whole day of the version that serves.

    Attributes:
        day: counted from 1970 (UTC), or from the start where times are none of the calendar.
        low, high: alerts that were promised for as many transactions.
    """

    day: int
    alerts: int
    low: float
    high: float


class DriftWatcher:
    """Counts the decisions of the version that serves; another version begins anew.

    Args:
        serving: what answers, and with it the store.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
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
            promise = Promise.of(scorer.manifest)
            return [
                AlertDay(day, days.alerts[day], promise.low * days.rows[day], promise.high * days.rows[day])
                for day in days.whole()[-most:]
            ]

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
        if self._days is None or self._days.version != version:
            self._days = Days.of(version, scorer.schema)
        self._days.read(store)
        return self._days
