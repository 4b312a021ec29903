"""The application: ``create_app(settings)`` builds it; nothing happens at import."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app import openapi, problems
from app.access.guard import guard
from app.access.keyring import Keyring
from app.admission import Admission
from app.decisions.routes import Decisions
from app.drift.watcher import DriftWatcher
from app.endpoints import Endpoints
from app.gauges import sampling
from app.inference.openapi import PROTOCOL
from app.inference.routes import Inference
from app.refusals import Refusal
from app.reload.crew import Together
from app.reload.follower import Follower
from app.routes import access, table
from app.rules.follower import RulesFollower
from app.rules.routes import RuleRoutes
from app.security_headers import CONSOLE_PATH
from app.serving import Serving
from app.settings import Settings
from app.shortcut import Service
from app.store.errors import StoreUnavailable
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_page import MetricsPage
from app.telemetry.request_log import RequestLog
from app.versions.routes import Versions
from models.errors import InvalidInput
from models.registry import Registry
from models.scorer import Scorer

if TYPE_CHECKING:
    from app.console.routes import Console

#: Collections of young objects before one of all: objects of thousands of new connections are walked through in it.
_FULL_COLLECTION = 100
#: How long one thread may keep another waiting for the interpreter (5 ms by default): the event loop asks for it anew
#: for each connection that has something to say, while the ledger's thread works.
_SWITCH_SECONDS = 0.0002


def load_scorer(settings: Settings) -> Scorer:
    """The verified model version that the settings mean.

    Raises:
        ModelNotFound: there is none.
        InvalidBundle: it is damaged; names the file and the check.
    """
    return Scorer.load(Registry(settings.artifacts).resolve(settings.model))


def create_app(settings: Settings, scorer: Scorer | None = None, together: Together | None = None) -> FastAPI:
    """The service.

    Args:
        settings: as from :func:`app.settings.load_settings`.
        scorer: the model to serve. Without one it is loaded when the application starts; until then every
            route but ``/healthz`` and ``/metrics`` answers 503.
        together: the processes that this one serves together with; None where it serves alone.

    Raises:
        InvalidInput: the file of API keys is not as it should be.
    """
    keyring = Keyring(settings.keys_file, settings.rate_limit)
    metrics = Metrics()
    serving = Serving(settings, metrics, anew=together is None)  # of several, who started them has done it
    follower = Follower(settings, serving, metrics, together.crew if together else None)
    decisions, rules = Decisions(settings, serving), RulesFollower(serving)
    drift = DriftWatcher(serving, Registry(settings.artifacts))
    admission = Admission(serving, settings.max_wait_ms / 1e3, metrics)
    if scorer is not None:
        serving.start(scorer)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        if serving.generation is None:
            serving.start(await run_sync(load_scorer, settings))
        # What is loaded by now stays for good: collections need not walk through it while requests wait.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*gc.get_threshold()[:2], _FULL_COLLECTION)
        sys.setswitchinterval(_SWITCH_SECONDS)
        if console is not None:
            await console.check()
        async with sampling(metrics, serving, drift), follower.following(), rules.following():
            # For whom serves it: uvicorn hands it to each connection.
            last: list[Callable[[], None]] = []
            yield {"metrics": metrics, "admission": admission, "last": last}
        await run_sync(serving.close)
        for end in last:
            end()

    endpoints = Endpoints(settings, serving, metrics, MetricsPage(metrics, together.metrics if together else None))
    routes = table(
        endpoints,
        Inference(settings, serving, endpoints),
        decisions,
        drift,
        RuleRoutes(settings, serving),
        Versions(settings, serving, follower),
    )
    who = access(routes)
    declared = [route for one in routes for route in one.routes()]
    page: Callable[[Request, Exception], Response] | None = None
    console: Console | None = None
    if settings.console:
        from app.console.routes import Console, trouble  # noqa: PLC0415 - templates and forms, only where they are wanted

        console = Console(settings, serving, follower, drift, rules, decisions)
        declared += console.routes
        who |= console.access
        page = trouble

    def answer(request: Request, error: Exception) -> Response:
        """What is answered of an error: a page of the console, or else a problem."""
        if page is not None and f"{request.scope['path']}/".startswith(f"{CONSOLE_PATH}/"):
            return page(request, error)
        return problems.response(error, request.state.request_id, told_twice=request.scope["path"].startswith(PROTOCOL))

    app = Service(
        short=[one.path for one in routes if one.short],
        answered=RequestLog(metrics),
        told=answer,
        translated=(HTTPException, RequestValidationError, Refusal, InvalidInput, StoreUnavailable),
        title="Counterfoil",
        summary="Fraud scores for card payments, from the reconstruction error of an autoencoder",
        version="1",
        routes=declared,
        lifespan=lifespan,
        docs_url=None,  # it has a page of its own, which needs no content network
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.serving, app.state.follower, app.state.access = serving, follower, who
    app.state.decisions, app.state.rules = decisions, rules
    guard(app.routes, who, keyring)
    app.openapi = lambda: openapi.document(  # type: ignore[method-assign]
        app, serving.generation, settings.max_batch, who if keyring.required else {}
    )
    return app
