"""What the operator is told of connections that were closed: each is counted, and a line now and then says why."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.telemetry.metrics import Metrics

log = logging.getLogger("counterfoil.connections")
#: Seconds between two lines for one reason: who opens thousands of connections shall not fill the log, too.
QUIET = 60.0
#: Reason -> what happened.
REASONS = {
    "room": "there was no room for it, or it had to make room for others",
    "silent": "no request came",
    "slow-request": "the request did not come fast enough",
    "slow-reader": "the answer was not read fast enough",
    "bad-request": "what came was no HTTP/1.1 that can be answered",
    "head-too-large": "the request's head was too long",
}


class Told:
    """Counts and tells; one for each process.

    Attributes:
        metrics: where to count; None where nothing counts.
    """

    def __init__(self) -> None:
        self.metrics: Metrics | None = None
        self._lines: dict[str, tuple[float, int]] = {}

    def closed(self, reason: str, now: float, advice: str = "") -> None:
        """A connection is closed by the service, for one of :data:`REASONS`.

        Args:
            now: seconds, of any clock that does not jump.
            advice: what the operator can do.
        """
        if self.metrics is not None:
            self.metrics.connection_closed(reason)
        last, since = self._lines.get(reason, (now - QUIET, 0))
        if now - last < QUIET:
            self._lines[reason] = last, since + 1
            return
        self._lines[reason] = now, 0
        more = f"; so were {since:,} others since the last such line" if since else ""
        log.warning("a connection was closed: %s%s%s", REASONS[reason], advice and f"; {advice}", more)
