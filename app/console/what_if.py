"""What another threshold would have alerted, from the log: alerts a day, fraud found, precision. Two people set it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from starlette.responses import Response

from app.console import pages
from app.console.proposals import Proposals
from app.console.visit import Visit
from app.problems import Refused
from app.refusals import Conflict
from app.reload.follower import Follower
from app.store.desk import Event
from app.store.sql import what_if
from app.store.sql.what_if import Ranked
from models.alike import alike
from models.registry import Registry
from models.rethreshold import rethreshold
from models.thresholds import Policy

DAYS = 30
_DAY = 86_400_000_000
#: Times the alerts a day that the threshold gives now.
_SHARES = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_MOST_A_DAY = 100_000


@dataclass(frozen=True, slots=True)
class Choice:
    """A threshold, and what it would have come to.

    Attributes:
        a_day: alerts a day.
        fraud, legitimate: of those alerts, as known.
        more: alerts more than now, fewer where negative.
        now: whether it is the one in force; ``asked``: whether somebody asked for it.
    """

    threshold: float
    a_day: float
    alerts: int
    fraud: int
    legitimate: int
    more: int
    now: bool = False
    asked: bool = False

    @property
    def precision(self) -> float | None:
        """Fraud among the alerts that turned out one way or the other."""
        known = self.fraud + self.legitimate
        return self.fraud / known if known else None


def choices(rows: Sequence[Ranked], threshold: float, days: float, asked: float | None) -> list[Choice]:
    """Thresholds from few alerts to many.

    Args:
        rows: the highest score first.
        threshold: in force.
        days: that the rows are of.
        asked: alerts a day that somebody asked for.
    """
    now = sum(row.score >= threshold for row in rows)
    wanted = {max(1, round(share * now)): False for share in _SHARES} if now else {}
    if asked is not None:
        wanted[max(1, round(asked * days))] = True
    found: dict[int, Choice] = {}
    for count, own in sorted(wanted.items()):
        if count > len(rows):
            continue
        cut = threshold if count == now else rows[count - 1].score
        alerts = [row for row in rows if row.score >= cut]  # those of one score alert together
        labels = [row.label for row in alerts]
        frauds, legitimate = labels.count("fraud"), labels.count("legitimate")
        a_day, more = len(alerts) / days, len(alerts) - now
        before = found.get(len(alerts))
        is_asked = own or (before is not None and before.asked)
        found[len(alerts)] = Choice(cut, a_day, len(alerts), frauds, legitimate, more, more == 0, is_asked)
    return list(found.values())


class WhatIf(Proposals):
    """The page: thresholds and what they would have come to; ``?a_day=`` adds a line of one's own.

    Args:
        registry: has the versions.
        follower: takes over what is activated.
    """

    kind, path, right = "propose threshold", "/what-if", "models"

    def __init__(self, registry: Registry, follower: Follower) -> None:
        self._registry, self._follower = registry, follower

    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any]]:
        """Another threshold for the version that serves."""
        version, score = visit.generation.scorer.manifest.version, _score(visit.one("threshold"))
        return f"{pages.score(score)} for {version}", {"score": score, "version": version}

    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Make a version that has it, which serves at once."""
        wanted = json.loads(proposal.before or "{}")
        if wanted["version"] != visit.generation.scorer.manifest.version:
            raise Conflict("another version serves by now; turn this down, and look again at what it would do")
        policy = Policy(name="alert-rate", value=1 - wanted["score"])
        folder = self._registry.folder(wanted["version"])
        made, _ = await visit.threaded(partial(rethreshold, folder, self._registry, policy))
        await self._follower.activate(made.version, by=f"{visit.person.name} for {proposal.actor}")

    async def shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        """The table, what waits, and the form."""
        manifest = visit.generation.scorer.manifest
        since = visit.now - DAYS * _DAY
        versions = [one.version for one in await visit.threaded(partial(alike, self._registry, manifest))]
        rows, days = await visit.read(partial(what_if.ranked, versions=versions, since=since, now=visit.now))
        threshold = manifest.threshold.score
        found = choices(rows, threshold, days, _a_day(visit.one("a_day")))
        most = max((one.alerts for one in found), default=1)
        return await visit.page(
            "what-if.html",
            status,
            trouble=trouble,
            said=visit.one("said"),
            proposals=await self.waiting(visit),
            chosen=visit.one("threshold"),
            why=visit.one("note"),
            found=found,
            threshold=threshold,
            days=days,
            most=most,
            version=manifest.version,
            asked=visit.one("a_day"),
        )


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise Refused("bad-request", "a threshold is a score above 0 and below 1")
    return value


def _a_day(text: str) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= _MOST_A_DAY:
        raise Refused("bad-request", f"alerts a day are a number above 0 and at most {_MOST_A_DAY:,}")
    return value
