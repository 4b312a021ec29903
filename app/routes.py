"""The routes: path, endpoint, who may call it, and what the API page says of it, in one table."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from app.access.guard import Access
from app.decisions.purge_request import PurgeReply
from app.decisions.replies import DecisionPage, DecisionReply
from app.decisions.routes import Decisions
from app.docs_page import STATIC, docs_file, docs_page
from app.drift.reply import DriftReply
from app.drift.watcher import DriftWatcher
from app.endpoints import Endpoints
from app.inference.routes import AllReady, Inference, Live, ModelMetadata, ModelReady, Server
from app.inference.tensors import InferReply
from app.replies import BatchReply, Health, ModelReply, Ready, RuledReply
from app.requests.feedback import FeedbackReply
from app.rules.routes import ListPage, ListReply, RuleRoutes, RulesReply
from app.security_headers import DOCS_PATH
from app.shadow.summary import ShadowReply
from app.versions.routes import ChangeReply, DifferencesReply, Versions, VersionsReply
from app.versions.told import Served, Verified

SCORING, LOG, RULES, MODELS, SERVICE = "Scoring", "Decision log", "Lists and rules", "Model versions", "Service"
INFERENCE = "Open Inference Protocol"
#: Who may call what FastAPI adds by itself.
_ADDED: dict[str, Access] = {"/openapi.json": "any key"}


@dataclass(frozen=True, slots=True)
class Declared:
    """One line of the table.

    Attributes:
        endpoint: takes the request and returns the response, or, where ``plain``, returns the reply itself.
        access: those with the scope, those with any key, or everyone, once there are API keys.
        tag: heading on the API page; "" where it is not there.
        reply: as the API page describes it.
        page: whether it is for browsers: no part of the API's document.
        probe: whether load balancers may ask with HEAD, too.
        short: whether requests go the short way, see :mod:`app.shortcut`.
    """

    method: str
    path: str
    endpoint: Callable[..., Coroutine[Any, Any, Any]]
    access: Access
    tag: str = ""
    reply: Any = None
    plain: bool = False
    page: bool = False
    probe: bool = False
    short: bool = False

    def routes(self) -> Iterable[BaseRoute]:
        """As the application takes them."""
        if self.page:
            yield Route(self.path, self.endpoint, include_in_schema=False)
            return
        kind = APIRoute if self.plain else RawRoute
        more: dict[str, Any] = {} if self.reply is None else {"response_model": self.reply}
        if self.probe:  # the document needs GET alone
            yield kind(self.path, self.endpoint, methods=[self.method, "HEAD"], include_in_schema=False, **more)
        more |= {"tags": [self.tag]} if self.tag else {"include_in_schema": False}
        yield kind(self.path, self.endpoint, methods=[self.method], **more)


class RawRoute(APIRoute):
    """A route whose endpoint takes the request and returns the response itself; FastAPI only documents it."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def table(
    endpoints: Endpoints,
    inference: Inference,
    decisions: Decisions,
    drift: DriftWatcher,
    rules: RuleRoutes,
    versions: Versions,
) -> tuple[Declared, ...]:
    """All routes, in the order they are tried: scoring first, /docs last."""
    one, version = "/v1/decisions/{transaction_id:path}", "/v1/models/{version}"
    return (
        Declared("POST", "/v1/score", endpoints.score, "score", SCORING, RuledReply, short=True),
        Declared("POST", "/v1/score/batch", endpoints.score_batch, "score", SCORING, BatchReply, short=True),
        Declared("POST", "/v1/score/csv", endpoints.score_csv, "score", SCORING),
        Declared("POST", "/v1/feedback", endpoints.feedback, "feedback", SCORING, FeedbackReply),
        Declared("GET", "/v1/decisions", decisions.page, "read", LOG, DecisionPage),
        Declared("GET", "/v1/decisions/export", decisions.export, "read", LOG),
        Declared("GET", one, decisions.one, "read", LOG, DecisionReply),
        Declared("POST", "/v1/purge", decisions.purge, "admin", LOG, PurgeReply),
        Declared("GET", "/v1/rules", rules.rules, "read", RULES, RulesReply, plain=True),
        Declared("GET", "/v1/lists", rules.entries, "read", RULES, ListPage),
        Declared("POST", "/v1/lists/add", rules.add, "admin", RULES, ListReply),
        Declared("POST", "/v1/lists/remove", rules.remove, "admin", RULES, ListReply),
        Declared("GET", "/v1/models", versions.all, "admin", MODELS, VersionsReply),
        Declared("GET", "/v1/models/at", versions.at, "admin", MODELS, Served),
        Declared("POST", "/v1/models/rollback", versions.rollback, "admin", MODELS, ChangeReply),
        Declared("GET", version, versions.one, "admin", MODELS, ModelReply),
        Declared("GET", version + "/diff", versions.diff, "admin", MODELS, DifferencesReply),
        Declared("GET", version + "/verify", versions.verify, "admin", MODELS, Verified),
        Declared("GET", version + "/shadow", versions.shadow, "admin", MODELS, ShadowReply),
        Declared("POST", version + "/activate", versions.activate, "admin", MODELS, ChangeReply),
        Declared("GET", "/v1/model", endpoints.model, "read", SERVICE, ModelReply, plain=True),
        Declared("GET", "/v1/drift", drift.drift, "read", SERVICE, DriftReply, plain=True),
        Declared("GET", "/healthz", endpoints.healthz, "open", SERVICE, Health, plain=True, probe=True),
        Declared("GET", "/readyz", endpoints.readyz, "open", SERVICE, Ready, plain=True, probe=True),
        Declared("GET", "/metrics", endpoints.metrics, "metrics"),
        Declared("GET", "/v2/health/live", inference.live, "open", INFERENCE, Live, plain=True),
        Declared("GET", "/v2/health/ready", inference.ready, "open", INFERENCE, AllReady, plain=True),
        Declared("GET", "/v2", inference.server, "open", INFERENCE, Server, plain=True),
        *(
            route
            for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
            for route in (
                Declared("GET", path, inference.model, "any key", INFERENCE, ModelMetadata),
                Declared("GET", path + "/ready", inference.model_ready, "any key", INFERENCE, ModelReady),
                Declared("POST", path + "/infer", inference.infer, "score", INFERENCE, InferReply),
            )
        ),
        Declared("GET", DOCS_PATH, docs_page, "open", page=True),  # it tells nothing, and asks for a key itself
        Declared("GET", f"/{STATIC}/{{name}}", docs_file, "open", page=True),
    )


def access(routes: Iterable[Declared]) -> dict[str, Access]:
    """Who may call each path."""
    return {route.path: route.access for route in routes} | _ADDED
