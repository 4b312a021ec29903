"""Erasing all of one card, merchant or other entity: one person proposes it, a second one approves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from app.console.proposals import Proposals
from app.console.search import key_of
from app.console.visit import Visit
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


class Purges(Proposals):
    """The page: what waits, and the form, filled in as the query says.

    Args:
        decisions: erases.
    """

    kind, path, right = "propose purge", "/purges", "purge"

    def __init__(self, decisions: Decisions) -> None:
        self._decisions = decisions

    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any]]:
        """All of an entity erased. Until that is decided the store keeps of whom, in no text of the audit."""
        column, value = visit.one("column"), visit.one("value").strip()
        _entity(visit, column, value)
        stored = visit.generation.pseudonyms.stored(column, value)
        return f"all of a {column}", {"column": column, "value": stored}

    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Erase at once and for good."""
        one = _waiting(proposal)
        entity, text = _entity(visit, one.column, one.value)
        await self._decisions.erase(key_of(visit.generation, entity, one.column, text))

    async def settle(self, visit: Visit) -> Response:
        """As for any change; afterwards the store's files no longer say of whom it was."""
        response = await super().settle(visit)
        if response.status_code == 303:
            await visit.threaded(visit.ledger.recorder.store.scrub)
        return response

    async def shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        """The page."""
        return await visit.page(
            "purges.html",
            status,
            columns=list(entity_filters(visit.generation.schema).values()),
            proposals=[_waiting(one) for one in await self.waiting(visit)],
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
