"""Middleware: an id on each request and answer, security headers, a log line, the last resort for failures."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.access.keys import KEY_SHAPE
from app.security_headers import security_headers
from app.telemetry.logs import trace
from app.telemetry.request_log import Answered, RequestLog
from models.pan import contains_card_number

HEADER = b"x-request-id"
_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,64}")
log = logging.getLogger("counterfoil")


class RequestId:
    """Gives each request an id, the caller's own where it is harmless, and returns it as X-Request-ID.

    Handlers find it in ``request.state.request_id``. Once the answer is over, it is counted and logged. An exception
    nobody translated, a bug, becomes a problem with status 500, or a broken connection once the response has begun; it
    is logged without its message, which could hold a caller's values.

    Args:
        answered: counts and logs.
        told: what is answered of an exception.
    """

    def __init__(self, app: ASGIApp, answered: RequestLog, told: Callable[[Request, Exception], Response]) -> None:
        self.app = app
        self._answered = answered
        self._told = told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        header = (HEADER, request_id.encode())
        safety = security_headers(scope["path"])
        answer = Answered()

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                message["headers"] = [*message["headers"], header, *safety]
            else:
                answer.bytes_out += len(message.get("body", b""))
                answer.complete = not message.get("more_body", False)
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("request %s: the client went away", request_id)
        except Exception as error:  # noqa: BLE001 - the last resort of the whole service
            log.error("request %s: %s", request_id, trace(error))
            if not answer.status:
                await self._told(Request(scope), error)(scope, receive, send_with_id)
        finally:
            self._answered.tell(scope, request_id, answer, time.perf_counter() - begun)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTED.fullmatch(value):
            own: str = value.decode()
            if not contains_card_number(own) and not KEY_SHAPE.search(own):
                return own
    return secrets.token_hex(12)
