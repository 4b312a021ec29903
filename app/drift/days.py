"""What the active version decided, day by day: counted by the store once, then only what is new."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from app.store.contract import Store
from app.store.query import Filter
from models.forms.time_patterns import DAY
from models.rows import Batch
from models.schema import TransactionSchema

#: Days looked back, and decisions whose features are kept: enough for what :mod:`models.drift_causes` scores again.
DAYS, KEPT = 120, 4_000
_PAGE = 1_000
_HOUR = 3_600_000_000


@dataclass
class Days:
    """Counts of one version's decisions.

    Attributes:
        version, numbers: whose, and how many numeric features it has.
        rows, alerts: by day, counted from 1970 (UTC), or from the start where times are none of the calendar.
        recent: (arrived, features) of the latest decisions, oldest first.
        seq: of the log, what is counted already.
    """

    version: str
    numbers: int
    rows: Counter[int] = field(default_factory=Counter)
    alerts: Counter[int] = field(default_factory=Counter)
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=KEPT))
    seq: int = 0

    @staticmethod
    def of(version: str, schema: TransactionSchema) -> Days:
        """None counted yet."""
        return Days(version, len(schema.numeric))

    def read(self, store: Store) -> None:
        """Count what has been recorded since the last time. Any thread, one at a time.

        Raises:
            StoreUnavailable: nothing of it is counted.
        """
        since = time.time_ns() // 1_000 - DAYS * DAY
        counted = store.tally(self.version, self.seq, since)
        recent = self._recent(store, Filter(since=since, model_version=self.version), counted.last)
        for day, rows, alerts in counted.days:
            self.rows[day] += rows
            self.alerts[day] += alerts
        self.recent.extend(reversed(recent))
        self.seq = counted.last

    def _recent(self, store: Store, wanted: Filter, last: int) -> list[tuple[int, bytes]]:
        """(arrived, features) of the latest decisions that were not read yet, newest first."""
        found: list[tuple[int, bytes]] = []
        before: int | None = last + 1
        while before is not None and before > self.seq + 1 and len(found) < KEPT:
            page = store.page(wanted, before, _PAGE)
            fresh = [one.decision for one in page.decisions if one.decision.seq > self.seq]
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
