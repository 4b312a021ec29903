"""The registry over HTTP, for admins: which versions there are, in what they differ, which one serves, and since when.

The same functions as ``counterfoil models``. Files are read and models loaded in a thread, never on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

from anyio.to_thread import run_sync
from pydantic import Field, StringConstraints
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.decisions.query import pairs, read_moment, refuse
from app.problems import Refused, name_or_withheld
from app.recording.activations import active_at
from app.reload.follower import Follower
from app.replies import Succession, model_reply
from app.requests.bodies import read_body, require_media_type
from app.requests.strict_object import StrictObject
from app.serving import Serving
from app.settings import Settings
from app.shadow.results import Results
from app.shadow.summary import ShadowReply, shadow_reply
from app.store.errors import StoreUnavailable
from app.versions.told import (
    Difference,
    Served,
    VersionLine,
    differences,
    listed,
    served,
    verified,
    version_before,
)
from models.bundle import read_manifest
from models.errors import CounterfoilError, InvalidInput, ModelNotFound
from models.manifest import Manifest
from models.registry import Registry

_JSON = "application/json"
OTHER, TIME, REPORT = "other", "time", "report"
SHA256 = "^[0-9a-f]{64}$"
_T = TypeVar("_T")


@dataclass(slots=True)
class VersionsReply:
    """The model versions."""

    serving: Annotated[str, Field(description="The version that answers now")]
    next: Annotated[
        Succession | None, Field(description="Another that was activated, until it serves; null where there is none")
    ]
    versions: Annotated[list[VersionLine], Field(description="Oldest first")]


@dataclass(slots=True)
class DifferencesReply:
    """In what two versions differ."""

    one: str
    other: str
    differences: list[Difference]


@dataclass(slots=True)
class ChangeReply:
    """What became of an activation."""

    version: str
    state: Annotated[
        Literal["serving", "waiting"],
        Field(description="serving: every process of this service answers with it; waiting: not yet"),
    ]
    why: Annotated[str, Field(description="What it waits for; empty where it serves")]
    before: Annotated[str, Field(description="The version that answered when this was asked for")]
    served: Annotated[Served | None, Field(description="As the log has it; null while it waits")]


class Versions:
    """Reads the registry of the service and changes which version serves.

    Args:
        serving: what answers, and with it the store.
        follower: takes over what is activated.
    """

    def __init__(self, settings: Settings, serving: Serving, follower: Follower) -> None:
        self._registry = Registry(settings.artifacts)
        self._serving, self._follower = serving, follower
        self._most_bytes, self._shadow_file = settings.max_body_bytes, settings.shadow_file
        self._body = StrictObject(
            "invalid-activation", {REPORT: Annotated[str, StringConstraints(strict=True, pattern=SHA256)]}, (REPORT,)
        )

    async def all(self, request: Request) -> Response:
        """The model versions, oldest first, and which of them serves."""
        _query(request)
        generation, _ = self._serving.now()
        lines = await self._look(partial(listed, self._registry))
        return _reply(VersionsReply(generation.scorer.manifest.version, self._serving.succession, lines))

    async def one(self, request: Request) -> Response:
        """One version: schema, threshold and policy, metrics, training."""
        _query(request)
        manifest = await self._manifest(request.path_params["version"])
        return _reply(model_reply(manifest))

    async def diff(self, request: Request) -> Response:
        """In what a version differs from another one, or from the one that serves. Which transactions the two decide
        otherwise is told by counterfoil retrain."""
        query = _query(request, OTHER)
        one = await self._manifest(request.path_params["version"])
        other = await self._manifest(query[OTHER]) if OTHER in query else self._serving.now()[0].scorer.manifest
        return _reply(DifferencesReply(one.version, other.version, differences(one, other)))

    async def verify(self, request: Request) -> Response:
        """Load a version as a service would: hashes, graph, and the outputs that it must give."""
        _query(request)
        (found,) = await self._look(lambda: list(verified(self._registry, request.path_params["version"])))
        return _reply(found)

    async def at(self, request: Request) -> Response:
        """Which version decided at a time, with which threshold, and who wanted it."""
        query = _query(request, TIME)
        if TIME not in query:
            refuse(TIME, "missing")
        try:
            moment = read_moment(query[TIME])
        except ValueError as error:
            refuse(TIME, str(error))
        _, ledger = self._serving.now()
        found = active_at(await run_sync(ledger.recorder.store.activations), moment)
        if found is None:
            raise Refused("not-found", "no version served from this store at that time")
        return _reply(served(found))

    async def shadow(self, request: Request) -> Response:
        """What a version that counterfoil shadow runs would have decided, beside what was answered."""
        _query(request)
        version, (_, ledger) = request.path_params["version"], self._serving.now()

        def read() -> ShadowReply | None:
            try:
                results = Results(self._shadow_file, writes=False)
            except InvalidInput:
                return None
            with closing(results):
                return shadow_reply(results, ledger.recorder.store, version)

        found = await self._look(read)
        if found is None:
            raise Refused("not-found", "this version shadows nothing here; counterfoil shadow VERSION starts it")
        return _reply(found)

    async def activate(self, request: Request) -> Response:
        """Make a version the one that serves. Answers once every process of this service has changed over, between two
        transactions; a version that is damaged or does not fit is refused, and nothing changes."""
        report = await self._asked(request)
        return await self._change(request.path_params["version"], request.state.caller, report)

    async def rollback(self, request: Request) -> Response:
        """Go back to the version that served before the one that serves, as the log has it."""
        report = await self._asked(request)
        _, ledger = self._serving.now()

        def before() -> str:
            return version_before(ledger.recorder.store.activations(), self._registry.active())

        return await self._change(await self._look(before), request.state.caller, report)

    async def _change(self, version: str, by: str | None, report: str | None) -> Response:
        before = self._serving.now()[0].scorer.manifest.version
        with _told():
            why = await self._follower.activate(version, by=by, report=report)
        _, ledger = self._serving.now()
        last = None if why else served((await run_sync(ledger.recorder.store.activations))[-1])
        return _reply(ChangeReply(version, "waiting" if why else "serving", why, before, last))

    async def _asked(self, request: Request) -> str | None:
        """The hash of the report that a change is decided on. JSON is asked for: no page of another origin sends it."""
        _query(request)
        require_media_type(request, _JSON)
        report: str | None = self._body.read(await read_body(request, self._most_bytes)).get(REPORT)
        return report

    async def _manifest(self, version: str) -> Manifest:
        return await self._look(lambda: read_manifest(self._registry.folder(version)))

    async def _look(self, work: Callable[[], _T]) -> _T:
        with _told():
            return await run_sync(work)


@contextmanager
def _told() -> Iterator[None]:
    """What the registry says against it, as callers are told; no name that they sent is repeated."""
    try:
        yield
    except StoreUnavailable:
        raise
    except ModelNotFound:
        raise Refused("not-found", "no such model version; GET /v1/models lists those there are") from None
    except CounterfoilError as error:
        raise Refused("conflict", str(error)) from None


def _query(request: Request, *known: str) -> Mapping[str, str]:
    """The query's parameters, each once.

    Raises:
        Refused: 422, naming the one at fault.
    """
    found: dict[str, str] = {}
    for name, text in pairs(request.scope["query_string"]):
        if name not in known:
            expected = f"expected {' or '.join(known)}" if known else "the route takes none"
            refuse(name_or_withheld(name), f"unknown parameter; {expected}")
        if name in found:
            refuse(name, "appears twice")
        found[name] = text
    return found


def _reply(value: Any) -> Response:
    return Response(to_json(value, by_alias=True), media_type=_JSON)
