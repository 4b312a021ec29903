"""Looks at the service at intervals: the event loop's lag, the queue, the states, the store."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio.to_thread import run_sync

from app.store.errors import StoreUnavailable
from app.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from app.endpoints import ActiveModel, Endpoints

#: Seconds between looks: at the loop, at what memory holds, at the store's size.
_LOOP, _MEMORY, _STORE = 0.1, 1.0, 15.0


def update(metrics: Metrics, model: ActiveModel) -> None:
    """Set what can be read from memory. Any thread; the numbers may be of slightly different moments."""
    ledger = model.ledger
    recorder = ledger.recorder
    live = recorder.live
    metrics.serves(model.scorer.manifest.version, model.scorer.manifest.threshold)
    metrics.queue_depth.set(ledger.waiting)
    metrics.store_healthy.set(ledger.healthy)
    metrics.last_seq.set(recorder.last_seq)
    metrics.states.set(len(live))
    metrics.state_bytes.set(live.bytes)
    metrics.unsaved.set(len(live.unsaved))
    metrics.unsaved_events.set(recorder.unsaved_events)


@asynccontextmanager
async def sampling(metrics: Metrics, endpoints: Endpoints) -> AsyncIterator[None]:
    """Look at the service while it runs."""
    tasks = [
        asyncio.create_task(_loop_lag(metrics)),
        asyncio.create_task(_memory(metrics, endpoints)),
        asyncio.create_task(_store_size(metrics, endpoints)),
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


async def _memory(metrics: Metrics, endpoints: Endpoints) -> None:
    while True:
        if endpoints.active is not None:
            update(metrics, endpoints.active)
        await asyncio.sleep(_MEMORY)


async def _store_size(metrics: Metrics, endpoints: Endpoints) -> None:
    """Not while a scrape waits: the store may take seconds to say that it is gone."""
    while True:
        if endpoints.active is not None:
            try:
                size: float = await run_sync(endpoints.active.ledger.recorder.store.size)
            except StoreUnavailable:
                size = math.nan
            metrics.store_bytes.set(size)
        await asyncio.sleep(_STORE)
