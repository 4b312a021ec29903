"""What a network decided, day by day, under each of its thresholds: counted by the store once, then what is new."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field

import numpy as np

from app.store.contract import Store
from app.store.query import Filter
from models.alike import alike
from models.drift import Promise
from models.forms.time_patterns import DAY
from models.manifest import Manifest
from models.registry import Registry
from models.rows import Batch

#: Days looked back, and decisions whose features are kept: enough for what :mod:`models.drift_causes` scores again.
DAYS, KEPT = 120, 4_000
_PAGE = 1_000
_HOUR = 3_600_000_000


@dataclass
class Days:
    """Counts of the decisions of one version, and of those that differ from it in their thresholds alone.

    Attributes:
        promises: of each version that counts, by its name.
        numbers: how many numeric features they have.
        rows, alerts: by day, counted from 1970 (UTC), or from the start where times are none of the calendar.
        low, high: alerts that were promised of these rows by the versions that decided them, by day.
        recent: (arrived, features) of the latest decisions, oldest first.
        seq: of the log, what is counted already of each version.
    """

    promises: dict[str, Promise]
    numbers: int
    rows: Counter[int] = field(default_factory=Counter)
    alerts: Counter[int] = field(default_factory=Counter)
    low: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    high: defaultdict[int, float] = field(default_factory=lambda: defaultdict(float))
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=KEPT))
    seq: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(manifest: Manifest, registry: Registry) -> Days:
        """None counted yet.

        Args:
            manifest: of the version.
            registry: has the others.
        """
        promises = {one.version: Promise.of(one) for one in alike(registry, manifest)}
        return Days(promises, len(manifest.transaction_schema.numeric))

    def read(self, store: Store) -> None:
        """Count what has been recorded since the last time. Any thread, one at a time.

        Raises:
            StoreUnavailable: nothing of it is counted.
        """
        since = time.time_ns() // 1_000 - DAYS * DAY
        counted = {version: store.tally(version, self.seq[version], since) for version in self.promises}
        recent = [
            one
            for version, tally in counted.items()
            if tally.days
            for one in self._recent(store, Filter(since=since, model_version=version), self.seq[version], tally.last)
        ]
        for version, tally in counted.items():
            promise = self.promises[version]
            for day, rows, alerts in tally.days:
                self.rows[day] += rows
                self.alerts[day] += alerts
                self.low[day] += promise.low * rows
                self.high[day] += promise.high * rows
            self.seq[version] = tally.last
        self.recent.extend(sorted(recent))

    def _recent(self, store: Store, wanted: Filter, seq: int, last: int) -> list[tuple[int, bytes]]:
        """(arrived, features) of the latest decisions after a place that was read, newest first."""
        found: list[tuple[int, bytes]] = []
        before: int | None = last + 1
        while before is not None and before > seq + 1 and len(found) < KEPT:
            page = store.page(wanted, before, _PAGE)
            fresh = [one.decision for one in page.decisions if one.decision.seq > seq]
            found += [(one.arrived_at, one.features) for one in fresh]
            before = page.before if len(fresh) == len(page.decisions) else None
        return found[:KEPT]

    def whole(self) -> list[int]:
        """The days that are over, oldest first: all but the last, those without a decision included."""
        return list(range(min(self.rows), max(self.rows))) if self.rows else []

    def batch(self, since: int | None = None) -> Batch:
        """The latest decisions as the detector was given them; those that arrived at ``since`` or later."""
        rows = [features for arrived, features in self.recent if since is None or arrived >= since]
        if not rows:
            return Batch(np.empty((0, self.numbers)), np.empty((0, 0), np.int64), np.empty(0, np.int64))
        return Batch.concat(Batch.from_bytes(row, self.numbers) for row in rows)

    def last_hour(self) -> Batch:
        """Those of the hour before the newest."""
        return self.batch(self.recent[-1][0] - _HOUR if self.recent else None)
