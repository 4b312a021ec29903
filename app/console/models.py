"""The model versions, and which one serves: changed by two people, one who proposes and one who approves."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection
from starlette.responses import Response

from app.console.roles import require_four_eyes
from app.console.visit import Visit, go
from app.problems import Refused
from app.reload.follower import Follower
from app.serving import Serving
from app.store.desk import Event
from app.store.sql import case_events
from app.versions.told import listed, version_before
from models.errors import CounterfoilError, InvalidBundle, InvalidInput, ModelNotFound
from models.registry import Registry

_MOST_SERVED = 10


class Models:
    """The page.

    Args:
        registry: has the versions.
        serving: which one answers.
        follower: takes over what is activated.
    """

    def __init__(self, registry: Registry, serving: Serving, follower: Follower) -> None:
        self._registry, self._serving, self._follower = registry, serving, follower

    async def page(self, visit: Visit) -> Response:
        """Versions, what waits for approval, and what served when."""
        return await self._shown(visit)

    async def propose(self, visit: Visit) -> Response:
        """Propose that a version serves."""
        version, reason = visit.one("version"), visit.note()
        if version not in await visit.threaded(self._registry.versions):
            raise Refused("not-found", "there is no such version")
        if not reason:
            return await self._shown(visit, 422, "say why, for the one who approves and for the audit")
        if version in [event.subject for event in await visit.read(case_events.proposed)]:
            return await self._shown(visit, 409, "this version is proposed already")

        def act(connection: Connection) -> int:
            name = visit.person.name
            return case_events.add(connection, visit.now, name, "propose", subject=version, text=reason)

        await visit.write(act)
        return go("/models")

    async def settle(self, visit: Visit) -> Response:
        """Approve a proposal, which activates the version; or turn it down, one's own too."""
        number, action = visit.path_number("number"), visit.one("action")
        waiting = {event.id: event for event in await visit.read(case_events.proposed)}
        proposal = waiting.get(number)
        if proposal is None or action not in ("approve", "refuse"):
            raise Refused("not-found", "there is no such proposal any more")
        if action == "approve":
            require_four_eyes(proposal.actor, visit.person)
            try:
                await self._follower.activate(str(proposal.subject), by=f"{visit.person.name} for {proposal.actor}")
            except (ModelNotFound, InvalidBundle, InvalidInput) as error:
                return await self._shown(visit, 409, str(error))
        await visit.write(partial(_settled, visit=visit, proposal=proposal, action=action))
        return go("/models")

    async def _shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        store = visit.ledger.recorder.store
        versions = await visit.threaded(partial(listed, self._registry))
        served = await visit.threaded(store.activations)
        try:
            before = version_before(served, await visit.threaded(self._registry.active))
        except CounterfoilError:
            before = None
        return visit.page(
            "models.html",
            status,
            versions=versions[::-1],
            serving=visit.generation.scorer.manifest.version,
            next=self._serving.succession,
            served=list(served)[: -_MOST_SERVED - 1 : -1],
            before=before,
            proposals=await visit.read(case_events.proposed),
            trouble=trouble,
        )


def _settled(connection: Connection, visit: Visit, proposal: Event, action: str) -> None:
    by = case_events.add(connection, visit.now, visit.person.name, action, subject=proposal.subject)
    case_events.undone(connection, proposal.id, by)
