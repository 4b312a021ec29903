"""What a worker tells of itself: a line of the log every ten seconds, and metrics for Prometheus."""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from app.consume.broker import Reason, Settled

#: Seconds between two lines.
_EVERY = 10.0
_log = logging.getLogger(__name__)


class Progress:
    """Counts what is settled.

    Args:
        lag: messages that wait, where that is known.
        waited: seconds that the worker has waited for the service in all.

    Attributes:
        registry: of the metrics.
    """

    def __init__(self, lag: Callable[[], int | None], waited: Callable[[], float]) -> None:
        self._lag = lag
        self.registry = CollectorRegistry()
        self._messages = Counter(
            "counterfoil_consume_messages",
            "Messages that are settled: scored, or refused and put aside",
            ["outcome"],
            registry=self.registry,
        )
        self._behind = Gauge(
            "counterfoil_consume_lag_messages", "Messages that are not settled; NaN if unknown", registry=self.registry
        )
        waiting = Gauge(
            "counterfoil_consume_waited_seconds", "Time spent waiting for the service", registry=self.registry
        )
        waiting.set_function(waited)
        self.scored = self.refused = 0
        self._told_at = time.monotonic()

    def serve(self, host: str, port: int) -> None:
        """Show the metrics at ``http://HOST:PORT/metrics``."""
        start_http_server(port, host, self.registry)

    def add(self, settled: Sequence[Settled]) -> None:
        """Count, and tell of what was refused: where it lay and why, never what it held."""
        refused = [one for one in settled if isinstance(one.outcome, Reason)]
        self.scored += len(settled) - len(refused)
        self.refused += len(refused)
        self._messages.labels("scored").inc(len(settled) - len(refused))
        self._messages.labels("refused").inc(len(refused))
        if refused:
            first = refused[0]
            kinds = Tally(one.outcome.kind for one in refused if isinstance(one.outcome, Reason))
            found = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
            _log.warning("put aside: %s; the first, %s, for %s", found, first.message.place, first.outcome)

    def tell(self, *, now: bool = False) -> None:
        """Log where things stand, if it is time."""
        if not now and time.monotonic() < self._told_at + _EVERY:
            return
        lag = self._lag()
        self._behind.set(float("nan") if lag is None else lag)
        text = "not known" if lag is None else f"{lag:,}"
        _log.info("%s scored, %s put aside, lag %s", f"{self.scored:,}", f"{self.refused:,}", text)
        self._told_at = time.monotonic()
