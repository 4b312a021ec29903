"""The application: ``create_app(settings)`` builds it; nothing happens at import."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app import openapi, problems
from app.access.guard import Access, guard
from app.access.keyring import Keyring
from app.decisions.purge_request import PurgeReply
from app.decisions.replies import DecisionPage, DecisionReply
from app.decisions.routes import Decisions
from app.docs_page import docs_page
from app.endpoints import Endpoints
from app.problems import Refused
from app.replies import BatchReply, Health, ModelReply, Ready, ScoreReply
from app.request_id import RequestId
from app.requests.feedback import FeedbackReply
from app.security_headers import DOCS_PATH
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.telemetry.gauges import sampling
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_page import MetricsPage
from app.telemetry.request_log import RequestLog
from models.errors import InvalidInput
from models.registry import Registry
from models.scorer import Scorer

#: Who may call each path once there are API keys: those with the scope, those with any key, or everyone.
ACCESS: dict[str, Access] = {
    "/v1/score": "score",
    "/v1/score/batch": "score",
    "/v1/score/csv": "score",
    "/v1/feedback": "feedback",
    "/v1/decisions": "read",
    "/v1/decisions/export": "read",
    "/v1/decisions/{transaction_id:path}": "read",
    "/v1/purge": "admin",
    "/v1/model": "read",
    "/metrics": "read",
    "/healthz": "open",
    "/readyz": "open",
    "/openapi.json": "any key",
    "/docs": "open",  # the page tells nothing, and asks for a key itself
    "/static-offline-docs": "open",
}
#: Headings of the API page.
_Tags = list[str | Enum]
SCORING: _Tags = ["Scoring"]
LOG: _Tags = ["Decision log"]
SERVICE: _Tags = ["Service"]


class RawRoute(APIRoute):
    """A route whose endpoint takes the request and returns the response itself; FastAPI only documents it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The endpoint, with nothing around it."""
        endpoint: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return endpoint


def load_scorer(settings: Settings) -> Scorer:
    """The verified model version that the settings mean.

    Raises:
        ModelNotFound: there is none.
        InvalidBundle: it is damaged; names the file and the check.
    """
    return Scorer.load(Registry(settings.artifacts).resolve(settings.model))


def create_app(settings: Settings, scorer: Scorer | None = None, shared_metrics: Path | None = None) -> FastAPI:
    """The service.

    Args:
        settings: as from :func:`app.settings.load_settings`.
        scorer: the model to serve. Without one it is loaded when the application starts; until then every
            route but ``/healthz`` and ``/metrics`` answers 503.
        shared_metrics: folder where the processes that serve together count; None where this one serves alone.

    Raises:
        InvalidInput: the file of API keys is not as it should be.
    """
    keyring = Keyring(settings.keys_file, settings.rate_limit)
    metrics = Metrics()
    endpoints = Endpoints(settings, metrics, MetricsPage(metrics, shared_metrics))
    decisions = Decisions(settings, lambda: endpoints.active)
    if scorer is not None:
        endpoints.activate(scorer)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        if endpoints.active is None:
            endpoints.activate(await run_sync(load_scorer, settings))
        # What is loaded by now stays for good: collections need not walk through it while requests wait.
        gc.collect()
        gc.freeze()
        async with sampling(metrics, endpoints):
            yield {"metrics": metrics}  # for whom serves it; uvicorn hands it to each connection
        await run_sync(endpoints.close)

    routes: list[BaseRoute] = [
        RawRoute("/v1/score", endpoints.score, methods=["POST"], response_model=ScoreReply, tags=SCORING),
        RawRoute("/v1/score/batch", endpoints.score_batch, methods=["POST"], response_model=BatchReply, tags=SCORING),
        RawRoute("/v1/score/csv", endpoints.score_csv, methods=["POST"], tags=SCORING),
        RawRoute("/v1/feedback", endpoints.feedback, methods=["POST"], response_model=FeedbackReply, tags=SCORING),
        RawRoute("/v1/decisions", decisions.page, methods=["GET"], response_model=DecisionPage, tags=LOG),
        RawRoute("/v1/decisions/export", decisions.export, methods=["GET"], tags=LOG),
        RawRoute(
            "/v1/decisions/{transaction_id:path}",
            decisions.one,
            methods=["GET"],
            response_model=DecisionReply,
            tags=LOG,
        ),
        RawRoute("/v1/purge", decisions.purge, methods=["POST"], response_model=PurgeReply, tags=LOG),
        APIRoute("/v1/model", endpoints.model, methods=["GET"], response_model=ModelReply, tags=SERVICE),
        *_probe("/healthz", endpoints.healthz, Health),
        *_probe("/readyz", endpoints.readyz, Ready),
        RawRoute("/metrics", endpoints.metrics, methods=["GET"], include_in_schema=False),
        Route(DOCS_PATH, docs_page, include_in_schema=False),
    ]
    app = FastAPIOffline(  # its API page needs no content network
        title="Counterfoil",
        summary="Fraud scores for card payments, from the reconstruction error of an autoencoder",
        version="1",
        routes=routes,  # tried in order: scoring first, /docs last
        lifespan=lifespan,
        docs_url=None,  # it has a page of its own, with the files that come with FastAPIOffline
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(
            (HTTPException, RequestValidationError, Refused, InvalidInput, StoreUnavailable), _problem
        ),
    )
    app.state.endpoints, app.state.decisions = endpoints, decisions
    guard(app.routes, ACCESS, keyring)
    app.add_middleware(RequestId, answered=RequestLog(metrics))
    app.openapi = lambda: openapi.document(  # type: ignore[method-assign]
        app, endpoints.active, settings.max_batch, ACCESS if keyring.required else {}
    )
    return app


def _probe(path: str, endpoint: Callable[[], Coroutine[Any, Any, Any]], reply: type[BaseModel]) -> tuple[APIRoute, ...]:
    """A route that load balancers may ask with HEAD, too, and one for the document, which needs GET alone."""
    return (
        APIRoute(path, endpoint, methods=["GET", "HEAD"], response_model=reply, include_in_schema=False),
        APIRoute(path, endpoint, methods=["GET"], response_model=reply, tags=SERVICE),
    )


async def _problem(request: Request, error: Exception) -> Response:
    return problems.response(error, request.state.request_id)
