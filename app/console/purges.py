"""Erasing all of one card, merchant or other entity: one person proposes it, a second one approves."""

from __future__ import annotations

import json
from dataclasses import dataclass

from starlette.responses import Response

from app.console.proposals import propose, settle, waiting
from app.console.search import key_of
from app.console.visit import Visit, go, status_of
from app.decisions.query import entity_filters
from app.decisions.routes import Decisions
from app.problems import Refused
from app.store.desk import Event


@dataclass(frozen=True, slots=True)
class Waiting:
    """A purge that waits for a second person: of what, as the store has it."""

    event: Event
    column: str
    value: str


class Purges:
    """The page.

    Args:
        decisions: erases.
    """

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def page(self, visit: Visit) -> Response:
        """What waits, and the form, filled in as the query says."""
        return await self._shown(visit)

    async def propose(self, visit: Visit) -> Response:
        """Propose to erase all of an entity. Until that is decided the store keeps of whom, in no text of the audit."""
        column, value = visit.one("column"), visit.one("value").strip()
        try:
            _entity(visit, column, value)
            stored = visit.generation.pseudonyms.stored(column, value)
            await propose(visit, "propose purge", f"all of a {column}", {"column": column, "value": stored})
        except Refused as refused:
            return await self._shown(visit, status_of(refused), str(refused))
        return go("/purges?said=proposed")

    async def settle(self, visit: Visit) -> Response:
        """Approve a purge, which erases at once and for good; or turn it down."""

        async def carry_out(proposal: Event) -> None:
            one = _waiting(proposal)
            entity, text = _entity(visit, one.column, one.value)
            await self._decisions.erase(key_of(visit.generation, entity, one.column, text))

        try:
            await settle(visit, "propose purge", "purge", carry_out)
        except Refused as refused:
            if refused.kind not in ("conflict", "store-unavailable"):
                raise
            return await self._shown(visit, status_of(refused), str(refused))
        await visit.threaded(visit.ledger.recorder.store.scrub)  # of whom it was, too
        return go(f"/purges?said={'erased' if visit.one('action') == 'approve' else 'refuse'}")

    async def _shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        return await visit.page(
            "purges.html",
            status,
            columns=list(entity_filters(visit.generation.schema).values()),
            proposals=[_waiting(one) for one in await waiting(visit, "propose purge")],
            asked={name: visit.one(name) for name in ("column", "value", "note")},
            trouble=trouble,
            said=visit.one("said"),
        )


def _entity(visit: Visit, column: str, value: str) -> tuple[str, str]:
    """The entity that a column names, and the value.

    Raises:
        Refused: there is none, or the value cannot be one.
    """
    columns = {column: name for name, column in entity_filters(visit.generation.schema).items()}
    if column not in columns or not value:
        raise Refused("bad-request", "say whose: a column and the value in it")
    key_of(visit.generation, columns[column], column, value)
    return columns[column], value


def _waiting(event: Event) -> Waiting:
    what = json.loads(event.before or "{}")
    return Waiting(event, what["column"], what["value"])
