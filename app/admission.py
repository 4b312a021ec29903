"""Who is let in: a request for scores that could not be answered in time is refused at once, before it is read.

Requests that are let in wait for the ledger; how long follows from how many do and from what a row takes. More than a
caller can wait for would make all of them late, and the service would work for callers that have given up.
"""

from __future__ import annotations

import logging
import secrets
import time

from starlette.types import ASGIApp, Receive, Scope, Send

from app import problems
from app.recording.pace import TELLING
from app.request_id import HEADER
from app.security_headers import API
from app.serving import Serving
from app.telemetry.metrics import Metrics

#: Where rows wait for the ledger; everything else is answered beside it.
_PATHS = "/v1/score"
_DETAIL = "more transactions wait than can be scored in time; send it again, it was not read"
#: Seconds between two lines of the log.
_SAY_SECONDS = 60.0
_log = logging.getLogger(__name__)


class _Refusal:
    """An ASGI application that says so. Written once but for the request's id: each costs a part of an answer."""

    def __init__(self) -> None:
        placeholder = secrets.token_hex(12)
        response = problems.response(problems.Refused("overloaded", _DETAIL), placeholder)
        self._status, self._headers = response.status_code, [*response.raw_headers, *API]
        self._before, _, self._after = bytes(response.body).partition(placeholder.encode())

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        request_id = secrets.token_hex(12).encode()
        headers = [*self._headers, (HEADER, request_id)]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._before + request_id + self._after})


class Admission:
    """Belongs to the event loop.

    Args:
        serving: its ledger is what requests wait for.
        most_seconds: that a request may have to wait.

    Attributes:
        pending: requests that were let in and are not answered yet.
    """

    def __init__(self, serving: Serving, most_seconds: float, metrics: Metrics) -> None:
        self._serving, self._most, self._metrics = serving, most_seconds, metrics
        self.pending = 0
        self._refusal = _Refusal()
        self._said, self._since = -_SAY_SECONDS, 0

    @property
    def wait(self) -> float:
        """Seconds that a request which comes now would wait, as far as is known."""
        ledger = self._serving.ledger
        return 0.0 if ledger is None else max(self.pending, ledger.rows) * ledger.pace.seconds

    def let_in(self, path: str, app: ASGIApp) -> ASGIApp:
        """What answers a request: ``app``, or the refusal.

        Args:
            path: of the request.
        """
        if not path.startswith(_PATHS):
            return app
        if self.pending >= TELLING and self.wait > self._most:
            self._tell()
            return self._refusal
        self.pending += 1

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.pending -= 1

        return counted

    def _tell(self) -> None:
        self._metrics.overloads.inc()
        self._since += 1
        now = time.monotonic()
        if now - self._said >= _SAY_SECONDS:
            _log.warning("more requests come than can be answered in time: %d refused since the last line", self._since)
            self._said, self._since = now, 0
