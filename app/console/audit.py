"""Who did what, when, and who may do what: for managers and auditors."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from app.console.users import Users
from app.console.visit import Visit, whole
from app.store.sql import case_events

ROWS = 100
ACTIONS = (
    "fraud", "legitimate", "disputed", "snooze", "escalate", "note", "undo", "release", "sign in", "password",
    "propose", "propose threshold", "propose list", "propose rules", "propose purge", "approve", "refuse",
)  # fmt: skip


class Audit:
    """The pages.

    Args:
        users: of the console.
    """

    def __init__(self, users: Users) -> None:
        self._users = users

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

    async def users(self, visit: Visit) -> Response:
        """The users with their roles, and when each signed in last."""
        known = await visit.threaded(self._users.now)
        last = await visit.read(partial(case_events.latest, action="sign in"))
        return await visit.page("users.html", users=list((known or {}).values()), last=last)
