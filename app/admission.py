"""Who is let in: a request for scores that could not be answered in time is refused at once, before it is read.

Requests that are let in wait for the ledger; how long follows from how many do and from what a row takes. More than a
caller can wait for would make all of them late, and the service would work for callers that have given up.
"""

from __future__ import annotations

import logging
import secrets
import time

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app import problems
from app.recording.pace import TELLING
from app.request_id import HEADER
from app.security_headers import API
from app.serving import Serving
from app.telemetry.metrics import Metrics

#: Where rows wait for the ledger; everything else is answered beside it.
_PATHS, _INFER = "/v1/score", "/infer"
_DETAIL = "more transactions wait than can be scored in time; send it again, it was not read"
#: Seconds between two lines of the log.
_SAY_SECONDS = 60.0
_log = logging.getLogger(__name__)


class Refusal:
    """The answer to those that are not let in: as bytes for a request that is whole, and as an ASGI application.

    Made once but for the request's id: what a refusal costs is taken from those that are let in.
    """

    def __init__(self) -> None:
        placeholder = secrets.token_hex(12)
        response = _overloaded(placeholder)
        lines = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self._head, self._body = (
            part.replace(b"%", b"%%").replace(placeholder.encode(), b"%b")
            for part in (STATUS_LINE[response.status_code] + lines, bytes(response.body))
        )

    def parts(self) -> tuple[bytes, bytes]:
        """The status line with the headers, and the body, of one refusal."""
        request_id = secrets.token_hex(12).encode()
        return self._head % request_id, self._body % request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request that may have more to send."""
        await _overloaded(secrets.token_hex(12))(scope, receive, send)


def _overloaded(request_id: str) -> Response:
    response = problems.response(problems.Refused("overloaded", _DETAIL), request_id)
    response.raw_headers += [*API, (HEADER, request_id.encode())]
    return response


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
        self._refusal = Refusal()
        self._said, self._since = -_SAY_SECONDS, 0

    @property
    def wait(self) -> float:
        """Seconds that a request which comes now would wait, as far as is known."""
        ledger = self._serving.ledger
        return 0.0 if ledger is None else max(self.pending, ledger.rows) * ledger.pace.seconds

    @property
    def crowded(self) -> bool:
        """Whether as many wait as tell of a rush."""
        return self.pending >= TELLING

    def full(self, waited: float, unread: int = 0) -> bool:
        """Whether a request for scores is to be refused.

        Args:
            waited: seconds since it came.
            unread: requests before it that are not read yet.
        """
        if waited > self._most:
            return True
        if self.pending + unread < TELLING:
            return False
        ledger = self._serving.ledger
        return ledger is not None and waited + self.wait + unread * ledger.pace.seconds > self._most

    def let_in(
        self, path: str, app: ASGIApp, waited: float = 0.0, *, whole: bool = True, taken: bool = False
    ) -> ASGIApp:
        """What answers a request: ``app``, or the refusal.

        Args:
            path: of the request.
            waited: seconds since it came.
            whole: whether its body is here: of one whose client still sends, the time says nothing of the service.
            taken: whether it was found to be in time when it came: then it is refused if it is late already.
        """
        if not path.startswith(_PATHS) and not path.endswith(_INFER):
            return app
        if waited > self._most if taken else self.full(waited):
            return self.refuse()
        self.pending += 1
        ledger = self._serving.ledger
        begun, before = time.perf_counter(), 0 if ledger is None else ledger.answered

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.pending -= 1
                if whole and ledger is not None and ledger.answered > before:
                    ledger.pace.measured(ledger.answered - before, time.perf_counter() - begun)

        return counted

    def refuse(self) -> Refusal:
        """The refusal, counted."""
        self._metrics.overloads.inc()
        self._since += 1
        now = time.monotonic()
        if now - self._said >= _SAY_SECONDS:
            _log.warning("more requests come than can be answered in time: %d refused since the last line", self._since)
            self._said, self._since = now, 0
        return self._refusal
