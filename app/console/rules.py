"""The rules in force, and other ones: written here, tried on what was recorded, put in force by two people.

The rules stay a file: what is approved is written there, and taken over as if it had been deployed.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.responses import Response

from app.console.proposals import Proposals
from app.console.visit import Visit
from app.problems import Refused
from app.rules.backtest import Backtest, Trial
from app.rules.changing import catch_up
from app.rules.conditions import Conditions
from app.rules.document import Document, parse
from app.rules.facts import Facts
from app.rules.follower import RulesFollower
from app.rules.rulebook import Rulebook
from app.rules.source import RuleSource
from app.settings import Settings
from app.store.desk import Event
from models.aside import written_aside
from models.errors import CounterfoilError, InvalidInput
from models.registry import Registry

#: Days that rules are tried on, and decisions at most, the latest: a few seconds of one thread.
DAYS, MOST = 30, 10_000
_DAY = 86_400_000_000
_EXAMPLE = """format = 1

[[rule]]
name = "first-rule"
outcome = "review"
when = 'score > 0.999'
note = "why it is there"
"""
_SOURCE = "these rules"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rules that wait for a second person.

    Attributes:
        diff: lines against the rules in force, each with its sign.
    """

    event: Event
    text: str
    diff: list[str]


class RulePages(Proposals):
    """The page.

    Args:
        settings: of the service.
        follower: takes over what the file says.
    """

    kind, path, right = "propose rules", "/rules", "rules"

    def __init__(self, settings: Settings, follower: RulesFollower) -> None:
        self._path, self._registry, self._follower = settings.rules_file, Registry(settings.artifacts), follower
        self._one = CapacityLimiter(1)

    async def test(self, visit: Visit) -> Response:
        """What the rules in the form would have come to; nothing changes."""
        try:
            rules = await self._read(visit, visit.text())
            found = await run_sync(partial(self._tried, visit, rules), limiter=self._one)
        except CounterfoilError as error:
            return await self.shown(visit, 422, str(error))
        return await self.shown(visit, found=found, outcomes={one.name: one.outcome for one in rules.document.rules})

    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any]]:
        """The rules in the form in place of those in force."""
        rules, now = await self._read(visit, visit.text()), _in_force(visit)
        version = rules.document.version
        if now is not None and now.version == version:
            raise Refused("conflict", "these rules are in force already")
        return f"rules {version}", {"text": rules.document.text, "instead_of": now.version if now else None}

    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Write the rules to the file, and take them over at once."""
        what = json.loads(proposal.before or "{}")
        now = _in_force(visit)
        if what["instead_of"] != (now.version if now else None):
            raise Refused("conflict", "other rules are in force since this was proposed; propose it anew")
        await self._read(visit, what["text"])  # the model may be another one since
        await visit.threaded(partial(self._put, what["text"]))
        await self._follower.look()
        if _source(visit).trouble:
            raise Refused("conflict", _source(visit).trouble)

    def _put(self, text: str) -> None:
        try:
            with written_aside(self._path) as aside:
                aside.write_bytes(text.encode())
        except OSError as error:
            raise InvalidInput(f"{self._path}: cannot be written: {error.strerror}") from None

    async def _read(self, visit: Visit, text: str) -> Conditions:
        return await visit.threaded(lambda: Conditions(parse(text, _SOURCE), visit.generation.schema))

    def _tried(self, visit: Visit, rules: Conditions) -> Backtest:
        schema, store = visit.generation.schema, visit.ledger.recorder.store
        rulebook = Rulebook(schema)
        rulebook.take(rules)
        catch_up(store, rulebook.lists)
        return Trial(store, self._registry, rulebook, schema).run(visit.now - DAYS * _DAY, most=MOST)

    async def shown(
        self,
        visit: Visit,
        status: int = 200,
        trouble: str = "",
        found: Backtest | None = None,
        outcomes: dict[str, str] | None = None,
    ) -> Response:
        """The rules in force, what waits for approval, and the form for others.

        Args:
            found: what those in the form would have come to; ``outcomes``: of each by name.
        """
        now = _in_force(visit)
        text = now.text if now else ""
        proposals = []
        for one in await self.waiting(visit):
            proposed = json.loads(one.before or "{}")["text"]
            proposals.append(Waiting(one, proposed, _diff(text, proposed)))
        return await visit.page(
            "rules.html",
            status,
            now_in_force=now,
            since=_source(visit).since,
            file_trouble=_source(visit).trouble,
            text=visit.text() or text or _EXAMPLE,
            note=visit.one("note"),
            proposals=proposals,
            names=Facts(visit.generation.schema).kinds,
            trouble=trouble,
            found=found,
            outcomes=outcomes or {},
            cut=found is not None and found.all.rows + found.skipped.total() >= MOST,
            days=DAYS,
            most=MOST,
            said=visit.one("said"),
        )


def _in_force(visit: Visit) -> Document | None:
    rulebook = visit.ledger.recorder.rulebook
    return rulebook.rules.document if rulebook is not None and rulebook.rules is not None else None


def _source(visit: Visit) -> RuleSource:
    found = visit.ledger.recorder.rules
    assert found is not None  # of every recorder that serves
    return found


def _diff(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=2, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]
