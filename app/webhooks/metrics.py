"""What a process that sends webhooks counts, for Prometheus: on a page of its own, at an address that was asked for."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, start_http_server

_LABEL = ("endpoint",)


class Metrics:
    """The instruments of one process.

    Attributes:
        registry: holds them and nothing else.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        attempts, given_up = "Attempts to send an alert, by outcome", "Alerts that an endpoint alone refused for a day"
        lag, gone = "Since the oldest alert arrived that is not delivered", "1 while an endpoint wants no more (410)"
        self.attempts = Counter("counterfoil_webhook_attempts", attempts, (*_LABEL, "outcome"), registry=registry)
        unreadable = "Alerts that are not recorded as the service records them, and were sent to nobody"
        self.unreadable = Counter("counterfoil_webhook_unreadable", unreadable, _LABEL, registry=registry)
        self.given_up = Counter("counterfoil_webhook_given_up", given_up, _LABEL, registry=registry)
        self.lag = Gauge("counterfoil_webhook_lag_seconds", lag, _LABEL, registry=registry)
        self.gone = Gauge("counterfoil_webhook_gone", gone, _LABEL, registry=registry)

    def of(self, endpoint: str, lag: Callable[[], float]) -> EndpointMetrics:
        """Those of one endpoint; ``lag`` is asked when they are read."""
        return EndpointMetrics(self, endpoint, lag)

    def serve(self, host: str, port: int) -> None:
        """Answer with them over HTTP, in a thread of its own.

        Raises:
            OSError: the address cannot be listened on.
        """
        start_http_server(port, host, self.registry)


class EndpointMetrics:
    """The instruments of one endpoint, found once."""

    def __init__(self, metrics: Metrics, endpoint: str, lag: Callable[[], float]) -> None:
        self._metrics, self._endpoint = metrics, endpoint
        self.delivered, self.failed = (metrics.attempts.labels(endpoint, one) for one in ("delivered", "failed"))
        self.given_up, self.gone = metrics.given_up.labels(endpoint), metrics.gone.labels(endpoint)
        self.unreadable = metrics.unreadable.labels(endpoint)
        metrics.lag.labels(endpoint).set_function(lag)

    def close(self) -> None:
        """Say nothing more of its state; what was counted stays."""
        self._metrics.lag.remove(self._endpoint)
        self._metrics.gone.remove(self._endpoint)
