"""The last places of a process: probes are answered there, everyone else is sent away."""

from __future__ import annotations

import secrets

from starlette.types import ASGIApp, Receive, Scope, Send

from app import problems
from app.request_id import HEADER
from app.security_headers import security_headers

#: Paths that tell an operator, or what acts for one, how the service is.
PROBES = frozenset(("/healthz", "/readyz", "/metrics"))
NO_ROOM = "all connections that the service may have are busy; send it again"


class ProbesOnly:
    """An ASGI application that answers probes and refuses everything else with 503.

    Args:
        app: asked by probes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(12)
        response = problems.response(problems.Refused("no-room", NO_ROOM), request_id)
        told = (HEADER, request_id.encode()), *security_headers(""), (b"connection", b"close")
        response.raw_headers.extend(told)
        await response(scope, receive, send)
