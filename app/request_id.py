"""Middleware: an id on every request and response, security headers, the last resort where the service itself fails."""

from __future__ import annotations

import logging
import re
import secrets
import traceback

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.access.keys import KEY_SHAPE
from app.security_headers import security_headers
from models.pan import contains_card_number

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("counterfoil")


class RequestId:
    """Gives each request an id, the caller's own where it is harmless, and returns it as X-Request-ID.

    Handlers find it in ``request.state.request_id``. An exception nobody translated, a bug, becomes a problem with
    status 500, or a broken connection once the response has begun; it is logged without its message, which
    could hold a caller's values.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        header = (HEADER, request_id.encode())
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], header, *security_headers(scope["path"])]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the client went away", request_id)
        except Exception as error:  # noqa: BLE001 - the last resort of the whole service
            where = " < ".join(
                f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
                for frame in reversed(traceback.extract_tb(error.__traceback__))
            )
            log.error("request %s: %s in %s", request_id, type(error).__name__, where)
            if not started:
                await problems.response(error, request_id)(scope, receive, send_with_id)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTED.fullmatch(value):
            own: str = value.decode()
            if not contains_card_number(own) and not KEY_SHAPE.search(own):
                return own
    return secrets.token_hex(12)
