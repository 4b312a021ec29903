"""The model versions, and which one serves: changed by two people, one who proposes and one who approves."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from app.console.proposals import propose, settle, waiting
from app.console.visit import Visit, go, status_of
from app.problems import Refused
from app.reload.follower import Follower
from app.serving import Serving
from app.store.desk import Event
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
        version = visit.one("version")
        if version not in await visit.threaded(self._registry.versions):
            raise Refused("not-found", "there is no such version")
        try:
            await propose(visit, "propose", version)
        except Refused as refused:
            return await self._shown(visit, status_of(refused), str(refused))
        return go("/models")

    async def settle(self, visit: Visit) -> Response:
        """Approve a proposal, which activates the version; or turn it down, one's own too."""

        async def carry_out(proposal: Event) -> None:
            await self._follower.activate(str(proposal.subject), by=f"{visit.person.name} for {proposal.actor}")

        try:
            await settle(visit, "propose", "models", carry_out)
        except (ModelNotFound, InvalidBundle, InvalidInput) as error:
            return await self._shown(visit, 409, str(error))
        return go("/models")

    async def _shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        store = visit.ledger.recorder.store
        versions = await visit.threaded(partial(listed, self._registry))
        served = await visit.threaded(store.activations)
        try:
            before = version_before(served, await visit.threaded(self._registry.active))
        except CounterfoilError:
            before = None
        return await visit.page(
            "models.html",
            status,
            versions=versions[::-1],
            serving=visit.generation.scorer.manifest.version,
            next=self._serving.succession,
            served=list(served)[: -_MOST_SERVED - 1 : -1],
            before=before,
            proposals=await waiting(visit, "propose"),
            trouble=trouble,
        )
