"""For the manager: alerts against the promise, what became of them, how long it took, and drift."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.money import Money
from app.console.sketch import series
from app.console.visit import Visit
from app.drift.watcher import DriftWatcher
from app.requests.feedback import LABELS
from app.store.desk import Case
from app.store.sql import case_events, cases, verdicts

#: Days whose alerts are drawn.
_DRAWN = 30
#: Features that are told, and alerts a day that each has to explain: what rounds to none explains nothing.
_CAUSES, _WORTH_TELLING = 6, 0.05
#: Days that verdicts are counted of, and days of payments: what became of those is known later.
DAYS, MONEY_DAYS = 14, 60
_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Day:
    """What was decided in a day (UTC)."""

    name: str
    decided: int
    fraud: int
    legitimate: int


@dataclass(frozen=True, slots=True)
class Told:
    """What became of the cases that were decided.

    Attributes:
        precision: fraud among those that turned out one way or the other; None without any.
        median: microseconds from the first alert to the verdict; ``late``: share beyond the target.
        by: decided by each.
    """

    decided: int
    precision: float | None
    median: int | None
    late: float | None
    by: list[tuple[str, int]]
    days: list[Day]

    @staticmethod
    def of(found: list[Case], now: int, target: int) -> Told:
        """Of the cases decided in the last days; ``target``: minutes."""
        verdicts = Counter(case.verdict for case in found)
        settled = verdicts["fraud"] + verdicts["legitimate"]
        waits = [(case.decided_at or 0) - case.opened_at for case in found]
        days = []
        for back in range(DAYS):
            day = now // _DAY - back
            own = [case.verdict for case in found if (case.decided_at or 0) // _DAY == day]
            name = f"{datetime.fromtimestamp(day * 86_400, UTC):%a %d %b}"
            days.append(Day(name, len(own), own.count("fraud"), own.count("legitimate")))
        return Told(
            len(found),
            verdicts["fraud"] / settled if settled else None,
            int(statistics.median(waits)) if waits else None,
            sum(wait > target * 60_000_000 for wait in waits) / len(waits) if waits else None,
            Counter(case.decided_by or "" for case in found).most_common(),
            days,
        )


def _named(day: int, *, calendar: bool) -> str:
    return f"{datetime.fromtimestamp(day * 86_400, UTC):%d %b}" if calendar else f"day {day}"


class Overview:
    """Args: ``drift``: of the version that serves; ``target``: minutes that an alert may wait."""

    def __init__(self, drift: DriftWatcher, target: int) -> None:
        self._drift, self._target = drift, target

    async def page(self, visit: Visit) -> Response:
        """The page."""

        since = visit.now - DAYS * _DAY

        def read(connection: Connection) -> tuple[list[Case], int, int, dict[str, int]]:
            undone = verdicts.undone(connection, since, LABELS)
            contradicted = verdicts.contradicted(connection, since)
            return cases.decided(connection, since), undone, contradicted, case_events.undecided(connection)

        found, undone, contradicted, waiting = await visit.read(read)
        store, schema = visit.ledger.recorder.store, visit.generation.schema
        money = await visit.threaded(partial(Money.of, store, schema, visit.now - MONEY_DAYS * _DAY))
        counts = await visit.read(partial(cases.counts, name=visit.person.name, now=visit.now))
        told = Told.of(found, visit.now, self._target)
        drift, by_day = await self._drift.drift(), await self._drift.by_day(_DRAWN)
        names = [_named(one.day, calendar=not schema.elapsed) for one in by_day]
        most = max(1, *(day.decided for day in told.days))
        return await visit.page(
            "overview.html",
            told=told,
            counts=counts,
            drift=drift,
            causes=[one for one in drift.features if abs(one.alerts_per_day) >= _WORTH_TELLING][:_CAUSES],
            by_day=list(zip(names, by_day, strict=True))[::-1],
            drawn=series([(name, one.alerts, one.low, one.high) for name, one in zip(names, by_day, strict=True)]),
            target=self._target,
            days=DAYS,
            most=most,
            undone=undone,
            waiting=waiting,
            contradicted=contradicted,
            money=money,
            money_days=MONEY_DAYS,
            currency=schema.currency,
        )
