"""Looked at from time to time, or when metrics are asked for: the event loop's lag, queue, states, store."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anyio.to_thread import run_sync

from app.drift.watcher import DriftWatcher
from app.serving import Serving
from app.store.errors import StoreUnavailable
from app.telemetry.metrics import Metrics

#: Seconds between looks: at the loop, at what memory holds, at the store's size, at drift.
_LOOP, _MEMORY, _STORE, _DRIFT = 0.1, 1.0, 15.0, 60.0


def update(metrics: Metrics, serving: Serving) -> None:
    """Set what can be read from memory. Any thread; the numbers may be of slightly different moments."""
    generation, ledger = serving.generation, serving.ledger
    if generation is None or ledger is None:
        return
    states = ledger.recorder.states
    metrics.serves(generation.scorer.manifest.version, generation.scorer.manifest.threshold)
    metrics.model_refused.set(serving.succession is not None and serving.succession.state == "refused")
    metrics.rules_refused.set(ledger.recorder.rules is not None and bool(ledger.recorder.rules.trouble))
    metrics.queue_depth.set(ledger.waiting)
    metrics.rows_waiting.set(ledger.rows)
    metrics.row_seconds.set(ledger.pace.seconds)
    metrics.store_healthy.set(ledger.healthy)
    metrics.last_seq.set(states.last)
    metrics.states.set(len(states))
    metrics.state_bytes.set(states.bytes)
    metrics.unsaved.set(len(states.unsaved))
    metrics.unsaved_events.set(states.unsaved_events)


@asynccontextmanager
async def sampling(metrics: Metrics, serving: Serving, drift: DriftWatcher) -> AsyncIterator[None]:
    """Look at the service while it runs."""
    tasks = [
        asyncio.create_task(_loop_lag(metrics)),
        asyncio.create_task(_memory(metrics, serving)),
        asyncio.create_task(_store_size(metrics, serving)),
        asyncio.create_task(_drift(metrics, drift)),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _loop_lag(metrics: Metrics) -> None:
    while True:
        asked = time.perf_counter()
        await asyncio.sleep(_LOOP)
        metrics.loop_lag.observe(max(time.perf_counter() - asked - _LOOP, 0.0))


async def _memory(metrics: Metrics, serving: Serving) -> None:
    while True:
        update(metrics, serving)
        await asyncio.sleep(_MEMORY)


async def _store_size(metrics: Metrics, serving: Serving) -> None:
    """Not while a scrape waits: the store may take seconds to say that it is gone."""
    while True:
        if serving.ledger is not None:
            try:
                size: float = await run_sync(serving.ledger.recorder.store.size)
            except StoreUnavailable:
                size = math.nan
            metrics.store_bytes.set(size)
        await asyncio.sleep(_STORE)


async def _drift(metrics: Metrics, drift: DriftWatcher) -> None:
    while True:
        with suppress(StoreUnavailable):  # what is known stays until it is back
            found = await run_sync(drift.look)
            if found is not None:
                metrics.drift("above", found.alarm == "above", found.evidence_above)
                metrics.drift("below", found.alarm == "below", found.evidence_below)
                metrics.features_gone.set(len(found.gone))
        await asyncio.sleep(_DRIFT)
