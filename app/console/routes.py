"""The console put together: its paths, who may come in, and what becomes of errors, which are pages, too."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from app import problems
from app.access.guard import Access
from app.console import pages
from app.console.account import Account
from app.console.alert import Alerts
from app.console.audit import Audit
from app.console.door import Door, require_own_page
from app.console.facts import Explanations
from app.console.filters import Filters
from app.console.lists import ListPages
from app.console.models import Models
from app.console.oidc import CALLBACK
from app.console.overview import Overview
from app.console.purges import Purges
from app.console.queue import Queue
from app.console.roles import Right, require
from app.console.rules import RulePages
from app.console.search import Search
from app.console.similar import Similar
from app.console.visit import Visit, fields, form_of
from app.console.what_if import WhatIf
from app.decisions.routes import Decisions
from app.drift.watcher import DriftWatcher
from app.problems import Refused
from app.reload.follower import Follower
from app.rules.follower import RulesFollower
from app.serving import Serving
from app.settings import Settings
from app.store.contract import Desk
from models.errors import InvalidInput
from models.registry import Registry

#: Readers of the store at once; the rest of the processor is for those who score.
_READERS = 4
_log = logging.getLogger(__name__)
Handler = Callable[[Visit], Awaitable[Response]]


class _Page(Route):
    """A route that requests are counted under."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As the base class, and says which route it is."""
        match, child = super().matches(scope)
        return match, {**child, "route": self} if match is not Match.NONE else child


class Console:
    """Pages for people, beside the API.

    Args:
        settings: of the service.
        serving: what answers, and with it the store.
        follower: takes over the versions that are activated.
        drift: whether the version that serves keeps its promise.
        rules: takes over the rules that are put in force.
        decisions: erases what was recorded.

    Attributes:
        routes: as the application takes them.
    """

    def __init__(
        self,
        settings: Settings,
        serving: Serving,
        follower: Follower,
        drift: DriftWatcher,
        rules: RulesFollower,
        decisions: Decisions,
    ) -> None:
        self._serving = serving
        self._door = Door(settings)
        self._limiter = CapacityLimiter(_READERS)
        self._account = Account(self._door, settings)
        queue = Queue(settings.alert_target_minutes)
        explanations = Explanations(Registry(settings.artifacts))
        alerts = Alerts(explanations, settings.alert_target_minutes)
        search = Search(explanations)
        models = Models(Registry(settings.artifacts), serving, follower)
        what_if = WhatIf(Registry(settings.artifacts), follower)
        audit = Audit(self._door.users)
        lists, rule_pages, purges = ListPages(), RulePages(settings, rules), Purges(decisions)
        self.routes: list[BaseRoute] = [
            _Page(f"{pages.PREFIX}/static/{{name}}", _file),
            self._open("GET", "/sign-in", self._sign_in_page),
            self._open("POST", "/sign-in", self._sign_in),
            self._page("POST", "/sign-out", self._account.sign_out),
            self._page("GET", "/account", self._account.page),
            self._page("POST", "/account", self._account.change),
            self._page("GET", "", queue.page),
            self._page("GET", "/news", queue.news),
            self._page("POST", "/filters", Filters(queue).save),
            self._page("POST", "/next", queue.take_next, "work"),
            self._page("POST", "/bulk", queue.bulk, "work"),
            self._page("POST", "/undo", alerts.undo, "work"),
            self._page("GET", "/alerts/{case}", alerts.page),
            self._page("POST", "/alerts/{case}", alerts.decide, "work"),
            self._page("POST", "/alerts/{case}/take", alerts.take, "work"),
            self._page("POST", "/alerts/{case}/keep", alerts.keep),
            self._page("POST", "/alerts/{case}/release", alerts.release, "work"),
            self._page("GET", "/search", search.page),
            self._page("GET", "/payments/{seq}", search.payment),
            self._page("GET", "/payments/{seq}/similar", Similar().page),
            self._page("GET", "/of", search.of),
            self._page("GET", "/audit", audit.page, "audit"),
            self._page("GET", "/users", audit.users, "audit"),
            self._page("GET", "/overview", Overview(drift, settings.alert_target_minutes).page),
            self._page("GET", "/what-if", what_if.page),
            self._page("POST", "/what-if", what_if.propose, "models"),
            self._page("POST", "/what-if/{number}", what_if.settle, "models"),
            self._page("GET", "/models", models.page),
            self._page("GET", "/models/{version}/report", models.report),
            self._page("POST", "/models", models.propose, "models"),
            self._page("POST", "/models/{number}", models.settle, "models"),
            self._page("GET", "/lists", lists.page),
            self._page("POST", "/lists", lists.propose, "lists"),
            self._page("POST", "/lists/test", lists.test, "lists"),
            self._page("POST", "/lists/{number}", lists.settle, "lists"),
            self._page("GET", "/purges", purges.page, "purge"),
            self._page("POST", "/purges", purges.propose, "purge"),
            self._page("POST", "/purges/{number}", purges.settle, "purge"),
            self._page("GET", "/rules", rule_pages.page),
            self._page("POST", "/rules", rule_pages.propose, "rules"),
            self._page("POST", "/rules/test", rule_pages.test),
            self._page("POST", "/rules/{number}", rule_pages.settle, "rules"),
        ]
        if settings.oidc_issuer:
            self.routes += [
                self._open("GET", "/oidc", self._account.go_to_provider),
                self._open("GET", CALLBACK.removeprefix(pages.PREFIX), self._come_back),
            ]
        self.routes.append(_Page(f"{pages.PREFIX}/{{rest:path}}", self._nowhere, methods=["GET", "POST"]))

    async def check(self) -> None:
        """Say in the log what will not work."""
        await self._account.check()

    @property
    def access(self) -> dict[str, Access]:
        """The console looks itself who it is."""
        return {route.path: "session" for route in self.routes if isinstance(route, Route)}

    def _page(self, method: str, path: str, handler: Handler, right: Right = "look") -> Route:
        """A page for those who are signed in and may."""

        async def answer(request: Request) -> Response:
            posted = request.method == "POST"
            if posted:
                require_own_page(request)
            desk = self._desk()
            person = await run_sync(self._door.who, request, desk, limiter=self._limiter)
            if person is None:
                return self._to_sign_in(request)
            require(person, right)
            form = await form_of(request) if posted else fields(request.scope["query_string"])
            generation, ledger = self._serving.now()
            beside = self._serving.beside
            return await handler(Visit(request, person, generation, ledger, desk, self._limiter, beside, form))

        return _Page(pages.PREFIX + path, answer, methods=[method], include_in_schema=False)

    def _open(self, method: str, path: str, handler: Callable[[Request], Awaitable[Response]]) -> Route:
        """A page for everybody."""

        async def answer(request: Request) -> Response:
            if request.method == "POST":
                require_own_page(request)
            return await handler(request)

        return _Page(pages.PREFIX + path, answer, methods=[method], include_in_schema=False)

    def _desk(self) -> Desk:
        _, ledger = self._serving.now()
        desk = ledger.recorder.store.desk()
        if desk is None:
            raise Refused(
                "not-found",
                "The console needs a store on SQLite or PostgreSQL. This service keeps its log in Redis, which several "
                "processes share and which has no order of alerts, no claims and no notes.",
            )
        return desk

    async def _nowhere(self, _request: Request) -> Response:
        raise Refused("not-found", "there is no such page")

    def _to_sign_in(self, request: Request) -> Response:
        if request.headers.get("hx-request"):  # a fragment cannot be replaced by a page to sign in on
            return Response(status_code=401)
        return RedirectResponse(f"{pages.PREFIX}/sign-in", 303)

    async def _sign_in_page(self, request: Request) -> Response:
        desk = self._desk()
        if await run_sync(self._door.who, request, desk, limiter=self._limiter) is not None:
            return RedirectResponse(pages.PREFIX, 303)
        return self._account.sign_in_page(request)

    async def _sign_in(self, request: Request) -> Response:
        desk = self._desk()
        _, ledger = self._serving.now()
        return await self._account.sign_in(request, desk, ledger)

    async def _come_back(self, request: Request) -> Response:
        desk = self._desk()
        _, ledger = self._serving.now()
        return await self._account.come_back(request, desk, ledger)


async def _file(request: Request) -> Response:
    return pages.file(request)


def trouble(request: Request, error: Exception) -> Response:
    """An error of a request to the console as a page, with the words that the API would use."""
    if isinstance(error, InvalidInput):  # a damaged file of users: its operator is told which
        _log.error("%s", error)
        error = Refused("not-ready", "the console's users cannot be read; the service's log says why")
    told = problems.problem(error, request.state.request_id)
    title = HTTPStatus(told.status).phrase
    page = pages.respond(
        request, "error.html", told.status, title=title, detail=told.detail, request_id=told.request_id, person=None
    )
    page.headers.update(getattr(error, "headers", None) or {})
    return page
