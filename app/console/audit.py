"""Who did what, when: for managers and auditors."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from app.console.visit import Visit, whole
from app.store.sql import case_events

ROWS = 100
ACTIONS = (
    "fraud", "legitimate", "disputed", "snooze", "escalate", "note", "undo", "release", "sign in", "password",
    "propose", "propose threshold", "propose list", "propose rules", "propose purge", "approve", "refuse",
)  # fmt: skip


class Audit:
    """The page."""

    async def page(self, visit: Visit) -> Response:
        """Events, newest first."""
        before = whole(visit.one("before")) if visit.one("before") else None
        actor, action = visit.one("actor") or None, visit.one("action") or None
        read = partial(case_events.page, before=before, limit=ROWS + 1, actor=actor, action=action)
        found = await visit.read(read)
        more = found[ROWS - 1].id if len(found) > ROWS else None
        return await visit.page(
            "audit.html", events=found[:ROWS], more=more, actor=actor or "", action=action or "", actions=ACTIONS
        )
