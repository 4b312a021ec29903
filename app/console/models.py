"""The model versions, and which one serves: changed by two people, one who proposes and one who approves."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from app.console.proposals import Proposals
from app.console.visit import Visit
from app.problems import Refused
from app.reload.follower import Follower
from app.serving import Serving
from app.store.desk import Event
from app.versions.told import listed, version_before
from models.errors import CounterfoilError, ModelNotFound
from models.manifest import REPORT
from models.registry import Registry

_MOST_SERVED = 10


class Models(Proposals):
    """The page.

    Args:
        registry: has the versions.
        serving: which one answers.
        follower: takes over what is activated.
    """

    kind, path, right = "propose", "/models", "models"

    def __init__(self, registry: Registry, serving: Serving, follower: Follower) -> None:
        self._registry, self._serving, self._follower = registry, serving, follower

    async def wanted(self, visit: Visit) -> tuple[str, dict[str, Any] | None]:
        """That a version serves."""
        version = visit.one("version")
        if version not in await visit.threaded(self._registry.versions):
            raise Refused("not-found", "there is no such version")
        return version, None

    async def carry_out(self, visit: Visit, proposal: Event) -> None:
        """Activate the version."""
        await self._follower.activate(str(proposal.subject), by=f"{visit.person.name} for {proposal.actor}")

    async def report(self, visit: Visit) -> Response:
        """A version's report, as a file to keep: it has styles of its own, which no page of the console may have."""
        version = visit.request.path_params["version"]

        def read() -> bytes:
            return (self._registry.folder(version) / REPORT).read_bytes()

        try:
            content = await visit.threaded(read)
        except (ModelNotFound, OSError):
            raise Refused("not-found", "there is no such report") from None
        named = {"Content-Disposition": f'attachment; filename="{version}.html"'}
        return Response(content, headers=named, media_type="text/html")

    async def shown(self, visit: Visit, status: int = 200, trouble: str = "") -> Response:
        """Versions, what waits for approval, and what served when."""
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
            proposals=await self.waiting(visit),
            trouble=trouble,
            said=visit.one("said"),
            chosen=visit.one("version"),
            why=visit.one("note"),
        )
