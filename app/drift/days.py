"""What the active version decided, day by day: read from the log once, then only what is new."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from app.store.contract import Store
from app.store.query import Filter
from app.store.records import Decision
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
        wanted = Filter(since=time.time_ns() // 1_000 - DAYS * DAY)
        new: list[_Counted] = []
        before: int | None = None
        while True:
            page = store.page(wanted, before, _PAGE)
            fresh = [one.decision for one in page.decisions if one.decision.seq > self.seq]
            new += [_Counted.of(one) for one in fresh if one.model_version == self.version]
            before = page.before
            if before is None or before <= self.seq + 1 or len(fresh) < len(page.decisions):
                break
        for one in reversed(new):
            day = one.time // DAY
            self.rows[day] += 1
            self.alerts[day] += one.alerts
            self.recent.append((one.arrived_at, one.features))
        if new:
            self.seq = new[0].seq

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


class _Counted(NamedTuple):
    """What is counted of a decision; the rest is let go while pages are read."""

    seq: int
    time: int
    arrived_at: int
    features: bytes
    alerts: bool

    @staticmethod
    def of(decision: Decision) -> _Counted:
        return _Counted(
            decision.seq, decision.time, decision.arrived_at, decision.features, decision.score >= decision.threshold
        )
