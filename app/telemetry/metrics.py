"""What the service counts and measures: the instruments, under the names that Prometheus sees.

Instruments that requests touch are found once and kept: an observation takes about a microsecond.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from models.thresholds import DECISIONS, Threshold

#: Where a request spends its time, in this order. From ``lookup`` on, waiting requests share one transaction of the
#: store and are observed once, together.
STAGES = ("validate", "queue", "lookup", "features", "score", "log")
#: What became of a transaction that was to be recorded; unlogged: scored while the store failed.
OUTCOMES = ("recorded", "repeated", "refused", "unlogged")
#: In place of a route: paths that lead nowhere, and the API page's files.
OTHER = "other"
_REQUEST_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_STAGE_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5)
_SCORE_BUCKETS = (0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999)
_LAG_BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Metrics:
    """The instruments of one application; thread-safe.

    Where several processes serve (:func:`app.settings.share_metrics`), each keeps its own in a file and the page adds
    them up: ``multiprocess_mode`` says how.

    Attributes:
        registry: holds the instruments, and nothing of other applications in the process.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # half as many series again
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "counterfoil_requests", "Requests answered, by route and status", ("route", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "counterfoil_request_duration_seconds",
            "From the request's head to the last byte of its answer",
            ("route",),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        stages = Histogram(
            "counterfoil_stage_duration_seconds",
            "Time by stage; from lookup on, requests that waited together share a transaction and count once",
            ("stage",),
            buckets=_STAGE_BUCKETS,
            registry=registry,
        )
        self._validate, self._queue, *self._shared = (stages.labels(stage) for stage in STAGES)
        self._score = Histogram(
            "counterfoil_score", "Scores of recorded transactions", buckets=_SCORE_BUCKETS, registry=registry
        )
        decisions = Counter(
            "counterfoil_decisions", "Recorded decisions; all but approve are alerts", ("decision",), registry=registry
        )
        self._decisions: dict[str, Counter] = {name: decisions.labels(name) for name in DECISIONS}
        self._ruled = Counter(
            "counterfoil_rulings",
            "Recorded decisions that a list, as LIST:COLUMN, or a rule, by its name, had a say in",
            ("rule",),
            registry=registry,
        )
        transactions = Counter(
            "counterfoil_transactions",
            "Transactions recorded, answered with the stored answer, refused after validation, or scored unrecorded",
            ("outcome",),
            registry=registry,
        )
        by_outcome = (transactions.labels(outcome) for outcome in OUTCOMES)
        self._recorded, self._repeated, self._refused, self._unlogged = by_outcome
        self.loop_lag = Histogram(
            "counterfoil_event_loop_lag_seconds",
            "How much later than asked a sleeping task of the event loop ran again",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )

        changes = Counter(
            "counterfoil_model_changes",
            "Versions that were activated in the running service, by whether they took over",
            ("outcome",),
            registry=registry,
        )
        self._changes = {outcome: changes.labels(outcome) for outcome in ("done", "refused")}
        self.overloads = Counter(
            "counterfoil_overload_refusals",
            "Requests for scores that were refused unread, because they would have waited for too long",
            registry=registry,
        )
        self._closed = Counter(
            "counterfoil_connections_closed",
            "Connections that the service closed, by why",
            ("reason",),
            registry=registry,
        )

        def gauge(name: str, meaning: str, mode: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"counterfoil_{name}", meaning, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self.connections = gauge("connections", "Connections that are open", "livesum")
        self.queue_depth = gauge("queue_depth", "Requests that wait for the thread that records", "livesum")
        self.rows_waiting = gauge("rows_waiting", "Transactions that wait for the thread that records", "livesum")
        self.row_seconds = gauge("row_seconds", "What a transaction takes of that thread, as measured", "livemax")
        self.store_healthy = gauge("store_healthy", "1 while the last transaction with the store went well", "livemin")
        self.store_bytes = gauge(
            "store_size_bytes",
            "The database on its disk, its write-ahead log included; of Redis the memory of the whole server",
            "livemostrecent",
        )
        self.last_seq = gauge("last_committed_seq", "Last place in the order of arrival that is durable", "livemax")
        self.states = gauge("live_states", "Cards, merchants and others whose state is in memory", "livesum")
        self.state_bytes = gauge("live_state_bytes", "Memory that those states take", "livesum")
        self.unsaved = gauge("unsaved_states", "States in memory that are newer than their saved copy", "livesum")
        self.unsaved_events = gauge(
            "unsaved_events", "Events since the first one that a saved state lacks: a restart replays them", "livemax"
        )
        self._model = gauge("model_info", "1 for the model version that serves", "livemax", ("version", "policy"))
        self.model_refused = gauge("model_refused", "1 while a version that was activated cannot take over", "livemax")
        self.rules_refused = gauge("rules_refused", "1 while the file's rules cannot be in force", "livemax")
        self._threshold = gauge("threshold_score", "Scores at or above it are alerts", "livemax")
        self._promised = gauge(
            "promised_alert_ratio",
            "Share of legitimate transactions that should alert, and the interval it should hold to",
            "livemax",
            ("bound",),
        )
        self._drift = gauge(
            "drift_evidence",
            "That more or fewer alerts are raised than promised; 3650 is an alarm",
            "livemax",
            ("side",),
        )
        self._drift_alarm = gauge("drift_alarm", "1 while there is an alarm", "livemax", ("side",))
        self.features_gone = gauge(
            "features_gone", "Features that are missing, unknown or stuck in the last hour's decisions", "livemax"
        )
        build = gauge("build_info", "1; the version that runs", "livemax", ("version", "python"))
        build.labels(version("counterfoil"), platform.python_version()).set(1)
        self._serving = ("", "")
        self._request_children: dict[tuple[str, int], Counter] = {}
        self._route_children: dict[str, Histogram] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request.

        Args:
            route: its template, never the path that was asked for.
        """
        counter = self._request_children.get((route, status))
        if counter is None:
            counter = self._request_children[route, status] = self._requests.labels(route, str(status))
            self._route_children.setdefault(route, self._request_seconds.labels(route))
        counter.inc()
        self._route_children[route].observe(seconds)

    def connection_closed(self, reason: str) -> None:
        """Count a connection that the service closed because of its client."""
        self._closed.labels(reason).inc()

    def validated(self, seconds: float) -> None:
        """Observe the reading of one body."""
        self._validate.observe(seconds)

    def answered(
        self,
        waited: Iterable[float],
        moments: Sequence[float],
        refused: int,
        repeated: int,
        scores: Iterable[float],
        decisions: Mapping[str, int],
    ) -> None:
        """Observe one transaction of the store.

        Args:
            waited: seconds that each request spent in the queue.
            moments: readings of :func:`time.perf_counter` at the beginning of ``lookup`` and at the end of each stage.
            scores: of what it recorded; ``decisions``: how many of each.
        """
        for seconds in waited:
            self._queue.observe(seconds)
        for stage, begun, ended in zip(self._shared, moments[:-1], moments[1:], strict=True):
            stage.observe(ended - begun)
        if refused:
            self._refused.inc(refused)
        if repeated:
            self._repeated.inc(repeated)
        for score in scores:
            self._score.observe(score)
        for decision, rows in decisions.items():
            self._decisions[decision].inc(rows)
            self._recorded.inc(rows)

    def ruled(self, matched: Mapping[str, int]) -> None:
        """Count the recorded decisions that each list and each rule had a say in."""
        for name, rows in matched.items():
            self._ruled.labels(name).inc(rows)

    def unlogged(self, count: int) -> None:
        """Count transactions that were scored and not recorded."""
        self._unlogged.inc(count)

    def model_changes(self, outcome: Literal["done", "refused"]) -> None:
        """Count a version that was activated in the running service."""
        self._changes[outcome].inc()

    def drift(self, side: str, alarm: bool, evidence: float) -> None:
        """Say how far the alert rate has drifted to one side, ``above`` or ``below`` what was promised."""
        self._drift.labels(side).set(evidence)
        self._drift_alarm.labels(side).set(alarm)

    def serves(self, model: str, threshold: Threshold) -> None:
        """Say which version serves from now on, and what its threshold promises."""
        serving = (model, threshold.policy.name)
        if serving != self._serving:
            if self._serving[0]:
                self._model.labels(*self._serving).set(0)
            self._serving = serving
        self._model.labels(*serving).set(1)
        self._threshold.set(threshold.score)
        self._promised.labels("low").set(threshold.alert_rate_low)
        self._promised.labels("expected").set(threshold.alert_rate)
        self._promised.labels("high").set(threshold.alert_rate_high)
