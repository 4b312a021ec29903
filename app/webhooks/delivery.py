"""One endpoint's way through the log: every alert is sent until the endpoint has taken it.

- An alert is tried again after pauses that double, from 5 s to half an hour. It is given up after a day, but only where
  the endpoint has taken others meanwhile: a receiver that is down for days gets all of them afterwards.
- While as many alerts fail as are sent at once, no other is tried. A receiver that is down is asked about a few alerts;
  the others wait in the log. Once it takes one, all are due.
- One that is not recorded as the service records them is given up at once: it can never be told, and the log says so.
- 410 Gone ends it until the endpoint is enabled again, which goes on where it ended.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from app.store.tail import Tail
from app.telemetry.logs import FIELDS
from app.webhooks.alert_log import AlertLog
from app.webhooks.cursors import Cursor, Cursors, Open
from app.webhooks.endpoints import Endpoint
from app.webhooks.event import Event, Events, Unreadable
from app.webhooks.metrics import Metrics
from app.webhooks.post import Outcome, post

#: Alerts that are sent at once; seconds until an idle endpoint looks again.
AT_ONCE, EVERY = 16, 0.5
#: Seconds: the first pause, the longest, and after how long an alert is given up that the endpoint alone refuses.
_FIRST_PAUSE, _LONGEST_PAUSE, _GIVE_UP = 5.0, 1_800.0, 86_400.0
_log = logging.getLogger(__name__)


def pause(attempts: int, chance: float) -> float:
    """Seconds until an alert is tried again: doubled each time, and a quarter more or less so that they spread.

    Args:
        chance: in [0, 1).
    """
    return min(_FIRST_PAUSE * 2.0 ** (attempts - 1), _LONGEST_PAUSE) * (0.75 + chance / 2)


class Delivery:
    """One endpoint. One thread at a time; it sends in threads of its own.

    Args:
        clock: seconds since 1970 UTC.

    Attributes:
        endpoint: may be replaced by one of the same name between two steps.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        log: AlertLog,
        events: Events,
        cursors: Cursors,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = endpoint
        self._log, self._events, self._cursors, self._clock = log, events, cursors, clock
        self._metrics = metrics.of(endpoint.name, self._lag)
        self._saved = cursors.of(endpoint.name)
        self._cursor = self._begin()
        self._tail = Tail(self._cursor.settled, self._cursor.ahead)
        #: By place, the oldest first.
        self._open = {one.seq: one for one in self._cursor.open}
        self._why = ""
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=f"webhook-{endpoint.name}")

    def step(self) -> float:
        """Read a stretch of the log and send what is due; seconds until there may be more to do.

        Raises:
            StoreUnavailable: the log cannot be read now. Nothing is lost.
        """
        if self._gone():
            return EVERY
        more = self._read()
        due = self._due()
        taken = 0
        for (one, _), outcome in zip(due, self._threads.map(self._attempt, due), strict=True):
            taken += self._note(one, outcome)
        if due:
            self._say_failing(taken)
        self._save()
        return 0.0 if more or taken else EVERY

    def close(self) -> None:
        """Wait for what is being sent."""
        self._threads.shutdown()
        self._metrics.close()

    def _begin(self) -> Cursor:
        """Go on where it was; a new endpoint gets what arrives from now on, and so does one of another store."""
        cursor, last = self._saved, self._log.last_seq()
        if cursor is not None and cursor.settled <= last:
            return cursor
        if cursor is not None:
            _log.warning("webhook %s had come further than the log goes: it goes on at its end", self.endpoint.name)
        return Cursor(last)

    def _read(self) -> int:
        """Read on unless enough alerts wait; how many events there were."""
        if sum(not one.attempts for one in self._open.values()) >= AT_ONCE:
            return 0
        events, alerts = self._log.read(self._tail)
        for alert in alerts:
            if alert.decision in self.endpoint.decisions:
                self._open[alert.seq] = Open(alert.seq, alert.arrived_at)
        return events

    def _due(self) -> list[tuple[Open, Event]]:
        """What is to be sent now. It is read from the log again: what was erased meanwhile is sent to nobody."""
        now = self._clock()
        tried = [one for one in self._open.values() if one.attempts]
        fresh = [one for one in self._open.values() if not one.attempts][: max(0, AT_ONCE - len(tried))]
        found = []
        for one in [one for one in tried if one.due <= now][:AT_ONCE] + fresh:
            decision = self._log.at(one.seq)
            if decision is None:
                del self._open[one.seq]
                continue
            try:
                found.append((one, self._events.of(decision, self.endpoint.transaction)))
            except Unreadable as error:
                fields = {"endpoint": self.endpoint.name, "seq": one.seq, "why": str(error)}
                _log.error("webhook given up: the alert is not recorded as it should be", extra={FIELDS: fields})
                self._metrics.unreadable.inc()
                self._forget(one, given_up=self._cursor.given_up + 1)
        return found

    def _attempt(self, due: tuple[Open, Event]) -> Outcome:
        return post(self.endpoint, due[1], self._clock())

    def _note(self, one: Open, outcome: Outcome) -> bool:
        """Note what became of an attempt; whether the alert was delivered."""
        now, attempts = self._clock(), one.attempts + 1
        fields = {"endpoint": self.endpoint.name, "seq": one.seq, "attempt": attempts, "status": outcome.status}
        if not outcome.why:
            _log.info("webhook delivered", extra={FIELDS: fields})
            self._metrics.delivered.inc()
            self._forget(one, delivered=self._cursor.delivered + 1, delivered_at=now)
            return True
        _log.warning("webhook failed", extra={FIELDS: fields | {"why": outcome.why}})
        self._metrics.failed.inc()
        if outcome.gone:
            self._cursor = replace(self._cursor, gone_at=now)
            _log.error(
                "webhook endpoint is gone (410): nothing is sent until it is enabled again", extra={FIELDS: fields}
            )
        first = one.first or now
        if now - first >= _GIVE_UP and (self._cursor.delivered_at or 0.0) > first:
            _log.error("webhook given up: the endpoint takes others, and not this one", extra={FIELDS: fields})
            self._metrics.given_up.inc()
            self._forget(one, given_up=self._cursor.given_up + 1)
        else:
            due = now + pause(attempts, random.random())
            self._open[one.seq] = replace(one, attempts=attempts, first=first, due=due)
        self._why = outcome.why
        return False

    def _say_failing(self, taken: int) -> None:
        """Nothing gets through, or something does again: then all that waits is due."""
        if not taken:
            since = self._cursor.failing_since or self._clock()
            self._cursor = replace(self._cursor, failing=self._why, failing_since=since)
        elif self._cursor.failing:
            self._cursor = replace(self._cursor, failing="", failing_since=None)
            self._open = {seq: replace(one, due=0.0) for seq, one in self._open.items()}

    def _forget(self, one: Open, **counts: float) -> None:
        del self._open[one.seq]
        self._cursor = replace(self._cursor, **counts)  # type: ignore[arg-type]

    def _gone(self) -> bool:
        gone_at = self._cursor.gone_at
        if gone_at is not None and gone_at < self.endpoint.enabled_at.timestamp():
            self._cursor = replace(self._cursor, gone_at=None)
        gone = self._cursor.gone_at is not None
        self._metrics.gone.set(gone)
        return gone

    def _save(self) -> None:
        tail, waiting = self._tail, tuple(self._open.values())
        self._cursor = replace(self._cursor, settled=tail.settled, ahead=tuple(tail.ahead), open=waiting)
        if self._cursor != self._saved:
            self._cursors.save(self.endpoint.name, self._cursor)
            self._saved = self._cursor

    def _lag(self) -> float:
        """Seconds since the oldest alert arrived that is not delivered; 0 where all are."""
        oldest = min((one.arrived_at for one in self._cursor.open), default=None)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest / 1e6)
