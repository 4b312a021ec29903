"""``GET /metrics``: what is measured, as Prometheus scrapes it; where several processes serve, of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector, multiprocess
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.telemetry.metrics import Metrics


class MetricsPage:
    """Writes the page.

    Args:
        metrics: of this process.
        shared: folder where several processes keep theirs; None where one serves alone.
    """

    def __init__(self, metrics: Metrics, shared: Path | None = None) -> None:
        if shared is None:
            self._registry = metrics.registry
            ProcessCollector(registry=self._registry)
        else:
            _forget_dead(shared)
            self._registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(self._registry, str(shared))  # type: ignore[no-untyped-call]
            self._registry.register(_Processes(shared))

    def write(self, accept: str) -> tuple[bytes, str]:
        """The page and its media type, in the format that an Accept header asks for. Takes milliseconds."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _Processes(Collector):
    """``process_*`` of several processes, added up; the start is that of the eldest."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def collect(self) -> Iterable[Metric]:
        """One value per name."""
        found: dict[str, Metric] = {}
        for pid in sorted(_processes(self._shared)):
            for metric in ProcessCollector(pid=lambda pid=pid: pid, registry=None).collect():  # type: ignore[misc]
                known = found.setdefault(metric.name, metric)
                if known is not metric:
                    join = min if metric.name == "process_start_time_seconds" else sum
                    values = (known.samples[0].value, metric.samples[0].value)
                    known.samples = [known.samples[0]._replace(value=join(values))]
        return found.values()


def _processes(shared: Path) -> set[int]:
    """Those that keep files there and live."""
    return {pid for pid in _counted(shared) if _lives(pid)}


def _forget_dead(shared: Path) -> None:
    """Gauges of processes that have ended count no more; what they counted does."""
    for pid in _counted(shared):
        if not _lives(pid):
            multiprocess.mark_process_dead(pid, str(shared))  # type: ignore[no-untyped-call]


def _counted(shared: Path) -> set[int]:
    """Those that keep files there."""
    return {int(file.stem.rpartition("_")[2]) for file in shared.glob("gauge_live*.db")}


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()
