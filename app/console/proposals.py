"""Changes that take two people: one proposes, with a reason; another one approves, or it is turned down.

Whatever changes what all payments are decided by goes through here, and through :func:`require_four_eyes` alone.
Each kind of change has a page of its own, which says what is wanted and carries it out: :class:`Proposals`.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from functools import partial
from typing import Any, ClassVar, Literal

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.roles import Right, require, require_four_eyes
from app.console.visit import Visit, go, status_of
from app.problems import Refused
from app.refusals import Refusal
from app.store.desk import Event
from app.store.sql import case_events
from models.errors import CounterfoilError, InvalidBundle, InvalidInput, ModelNotFound

#: What is proposed, as the audit names it: that a model version serves, another threshold, a change of a list,
#: other rules, that all of a card is erased.
Kind = Literal["propose", "propose threshold", "propose list", "propose rules", "propose purge"]


#: What keeps a change from being proposed or carried out; the page is shown again and says so.
_TROUBLE = (Refusal, InvalidInput, InvalidBundle, ModelNotFound)


class Proposals(ABC):
    """A page on which changes of one kind are proposed, approved, turned down and withdrawn.

    Attributes:
        kind: of change; ``path``: of the page.
        right: that approving takes, and turning down what somebody else proposed.
    """

    kind: ClassVar[Kind]
    path: ClassVar[str]
    right: ClassVar[Right]

    @abstractmethod
    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any] | None]:
        """What the form proposes: in the audit's words, and all that carrying it out takes, kept until it is decided.

        Raises:
            CounterfoilError: it cannot be proposed.
        """

    @abstractmethod
    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Do what was proposed.

        Raises:
            CounterfoilError: it cannot be done; nothing has changed.
        """

    @abstractmethod
    async def shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        """The page; ``trouble``: why nothing has changed."""

    def told(self, error: CounterfoilError) -> str:
        """An error in the words of the page."""
        return str(error)

    async def page(self, visit: Visit) -> Response:
        """The page."""
        return await self.shown(visit)

    async def propose(self, visit: Visit) -> Response:
        """Propose what is in the form, for the reason in its note."""
        try:
            await self._propose(visit, *await self.wanted(visit))
        except _TROUBLE as error:
            return await self.shown(visit, status_of(error), self.told(error))
        return go(f"{self.path}?said=proposed")

    async def settle(self, visit: Visit) -> Response:
        """Approve the proposal that the path names, which carries it out; or turn it down. One's own is withdrawn."""
        number, action = visit.path_number("number"), visit.one("action")
        proposal = next((one for one in await self.waiting(visit) if one.id == number), None)
        if proposal is None or action not in ("approve", "refuse"):
            raise Refused("not-found", "there is no such proposal any more")
        own = proposal.actor == visit.person.name
        if action == "approve" or not own:
            require(visit.person, self.right)
        if action == "approve":
            require_four_eyes(proposal.actor, visit.person)
            try:
                await self.carry_out(visit, proposal)
            except _TROUBLE as error:
                status = status_of(error)
                return await self.shown(visit, status if status >= 500 else 409, self.told(error))

        def act(connection: Connection) -> None:
            by = case_events.add(connection, visit.now, visit.person.name, action, subject=proposal.subject)
            case_events.settled(connection, proposal.id, by)

        await visit.write(act)
        return go(f"{self.path}?said={action}")

    async def waiting(self, visit: Visit) -> list[Event]:
        """What waits for a second person, oldest first."""
        return await visit.read(partial(case_events.proposed, action=self.kind))

    async def _propose(self, visit: Visit, subject: str, what: dict[str, Any] | None) -> None:
        reason, content = visit.note(), None if what is None else json.dumps(what)
        if not reason:
            raise Refused("bad-request", "say why, for the one who approves and for the audit")
        if (subject, content) in [(one.subject, one.before) for one in await self.waiting(visit)]:
            raise Refused("conflict", "this is proposed already")

        def act(connection: Connection) -> int:
            name = visit.person.name
            return case_events.add(connection, visit.now, name, self.kind, subject=subject, text=reason, before=content)

        await visit.write(act)
