"""Changes that take two people: one proposes, with a reason; another one approves, or it is turned down.

Whatever changes what all payments are decided by goes through here, and through :func:`require_four_eyes` alone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from sqlalchemy import Connection

from app.console.roles import Right, require, require_four_eyes
from app.console.visit import Visit
from app.problems import Refused
from app.store.desk import Event
from app.store.sql import case_events

#: What is proposed, as the audit names it: that a model version serves, another threshold, a change of a list,
#: other rules, that all of a card is erased.
Kind = Literal["propose", "propose threshold", "propose list", "propose rules", "propose purge"]


async def waiting(visit: Visit, kind: Kind) -> list[Event]:
    """What waits for a second person, oldest first."""
    return await visit.read(partial(case_events.proposed, action=kind))


async def propose(visit: Visit, kind: Kind, subject: str, what: dict[str, Any] | None = None) -> None:
    """Propose a change, for the reason in the form's note.

    Args:
        subject: what would change, in the audit's words.
        what: all that carrying it out takes. Kept until it is decided.

    Raises:
        Refused: no reason is given, or the same is proposed already.
    """
    reason, content = visit.note(), None if what is None else json.dumps(what)
    if not reason:
        raise Refused("bad-request", "say why, for the one who approves and for the audit")
    if (subject, content) in [(one.subject, one.before) for one in await waiting(visit, kind)]:
        raise Refused("conflict", "this is proposed already")

    def act(connection: Connection) -> int:
        name = visit.person.name
        return case_events.add(connection, visit.now, name, kind, subject=subject, text=reason, before=content)

    await visit.write(act)


async def settle(visit: Visit, kind: Kind, right: Right, carry_out: Callable[[Event], Awaitable[None]]) -> None:
    """Approve the proposal that the path names, which carries it out; or turn it down. One's own is withdrawn.

    Raises:
        Refused: there is no such proposal, one may not, or one has proposed it oneself; nothing has changed.
    """
    number, action = visit.path_number("number"), visit.one("action")
    proposal = next((one for one in await waiting(visit, kind) if one.id == number), None)
    if proposal is None or action not in ("approve", "refuse"):
        raise Refused("not-found", "there is no such proposal any more")
    own = proposal.actor == visit.person.name
    if action == "approve" or not own:
        require(visit.person, right)
    if action == "approve":
        require_four_eyes(proposal.actor, visit.person)
        await carry_out(proposal)

    def act(connection: Connection) -> None:
        by = case_events.add(connection, visit.now, visit.person.name, action, subject=proposal.subject)
        case_events.settled(connection, proposal.id, by)

    await visit.write(act)
