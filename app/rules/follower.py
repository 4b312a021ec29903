"""Follows what people change while the service runs: the file of rules, and lists that another process changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

from anyio.to_thread import run_sync

from app.rules.changing import catch_up
from app.serving import Serving
from app.store.errors import StoreUnavailable

#: Seconds between looks.
_EVERY = 1.0
_log = logging.getLogger(__name__)


class RulesFollower:
    """Belongs to the event loop.

    Args:
        serving: what serves; its ledger's rulebook is what changes.
    """

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the service runs."""
        task = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            try:
                await self.look()
            except StoreUnavailable:  # what is in force stays, and the ledger tells of the store
                pass
            except Exception:  # noqa: BLE001 - what is in force stays, and the next look may go well
                _log.exception("cannot look for other rules or lists")

    async def look(self) -> None:
        """Take over what has changed; at once where somebody has just changed it."""
        async with self._looking:
            await self._look()

    async def _look(self) -> None:
        generation, ledger = self._serving.generation, self._serving.ledger
        if generation is None or ledger is None:
            return
        store, rulebook, source = ledger.recorder.store, ledger.recorder.rulebook, ledger.recorder.rules
        if rulebook is None or source is None:
            return
        if store.shared:
            await ledger.run(partial(catch_up, store, rulebook.lists))
        reading = await run_sync(source.look, generation.schema)
        if reading is not None:
            await ledger.run(partial(source.put, reading, store, rulebook))
