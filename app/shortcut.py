"""The short way of requests for scores: from the connection to their endpoint without the framework's layers between.

FastAPI declares these routes like all others and would answer them alike, at twice the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.request_id import RequestId
from app.telemetry.request_log import RequestLog


class Service(FastAPI):
    """FastAPI with a short way for some of its routes.

    Args:
        short: their paths, without parameters; each takes one method.
        answered: hears of each answer.
        told: what is answered of an error.
        translated: errors that are no bugs.
        options: of FastAPI.
    """

    def __init__(
        self,
        *,
        short: Iterable[str],
        answered: RequestLog,
        told: Callable[[Request, Exception], Response],
        translated: tuple[type[Exception], ...],
        **options: Any,
    ) -> None:
        async def handler(request: Request, error: Exception) -> Response:
            return told(request, error)

        self._short, self._answered, self._told, self._translated = frozenset(short), answered, told, translated
        super().__init__(exception_handlers=dict.fromkeys(translated, handler), **options)
        self.add_middleware(RequestId, answered=answered, told=told)

    def build_middleware_stack(self) -> ASGIApp:
        """What answers a request; built with the first one, when every route is guarded."""
        short = {
            (method, route.path): RequestId(_Short(route, self._told, self._translated), self._answered, self._told)
            for route in self.routes
            if isinstance(route, APIRoute) and route.path in self._short
            for method in route.methods or ()
        }
        whole = super().build_middleware_stack()

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            app = short.get((scope["method"], scope["path"]), whole) if scope["type"] == "http" else whole
            await app(scope, receive, send)

        return answer


class _Short:
    """What is left of FastAPI's layers for a route whose endpoint takes the request and returns the response."""

    def __init__(
        self, route: APIRoute, told: Callable[[Request, Exception], Response], translated: tuple[type[Exception], ...]
    ) -> None:
        self._route, self._told, self._translated = route, told, translated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self._route
        try:
            await self._route.app(scope, receive, send)
        except self._translated as error:
            await self._told(Request(scope), error)(scope, receive, send)
