"""What is told of a request once its answer is over: a count, and one line in the log. Never a value that was sent."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from typing import Any

from starlette.types import Scope

from app.telemetry.logs import FIELDS
from app.telemetry.metrics import OTHER, Metrics

log = logging.getLogger("counterfoil.requests")
#: In place of a status where the client went away before there was one; nginx's number for it.
CLIENT_GONE = 499
_METHODS = frozenset(method.value for method in HTTPMethod)
_LENGTH = re.compile(rb"[0-9]{1,15}")


@dataclass(slots=True)
class Answered:
    """An answer as it was sent.

    Attributes:
        status: 0 until it begins.
        complete: whether its last byte was sent.
    """

    status: int = 0
    bytes_out: int = 0
    complete: bool = False


class RequestLog:
    """Counts requests and logs them: failures of the service as warnings, everything else as info.

    Args:
        metrics: where to count.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def tell(self, scope: Scope, request_id: str, answer: Answered, seconds: float) -> None:
        """Tell of one request.

        Args:
            scope: after routing. Its path and query are the caller's and are not read.
        """
        route = getattr(scope.get("route"), "path", OTHER)
        status = answer.status or CLIENT_GONE
        self._metrics.request(route, status, seconds)
        level = logging.WARNING if status >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        if log.isEnabledFor(level):
            told: dict[str, Any] = {
                "request_id": request_id,
                "method": scope["method"] if scope["method"] in _METHODS else OTHER,
                "route": route,
                "status": status,
                "duration_ms": round(seconds * 1e3, 3),
                "caller": scope["state"].get("caller"),
                "bytes_in": _content_length(scope),
                "bytes_out": answer.bytes_out,
                "complete": answer.complete,
            }
            # Without a search for the line that logs: half of what a call of log.info() costs.
            log.handle(log.makeRecord(log.name, level, __file__, 0, "request", (), None, extra={FIELDS: told}))


def _content_length(scope: Scope) -> int | None:
    """As the request declares it; None where its body comes in chunks, or not at all."""
    for name, value in scope["headers"]:
        if name == b"content-length" and _LENGTH.fullmatch(value):
            return int(value)
    return None
