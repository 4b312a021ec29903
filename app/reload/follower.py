"""Follows the registry: what is activated there takes over in the running process, once every process is ready.

Watch ``active``, load and verify in a thread, wait until all are ready, record the activation, and swap between two
transactions of the store. Whatever goes wrong, the version that serves goes on and the trouble is told.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

from anyio.to_thread import run_sync

from app.generation import Generation
from app.reload.crew import Crew, Word
from app.reload.fit import require_fit
from app.replies import Succession
from app.serving import Serving
from app.settings import Settings
from app.store.errors import StoreUnavailable
from app.telemetry.metrics import Metrics
from models.errors import CounterfoilError, InvalidInput, ModelNotFound
from models.registry import ACTIVE, Active, Registry
from models.scorer import Scorer

#: Seconds between looks at the registry; between those while a version waits for the other processes; and how long
#: whoever activates one waits for all of them.
_EVERY, _SOON, _PATIENCE = 1.0, 0.1, 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What ``active`` says, and which file said it: the same version activated again is tried again."""

    active: Active
    file: tuple[int, int]


class Follower:
    """Belongs to the event loop.

    Args:
        settings: of the service; where they name a model it follows nothing.
        serving: what serves, and what takes over there.
        crew: the processes that serve together; None where this one serves alone.
    """

    def __init__(self, settings: Settings, serving: Serving, metrics: Metrics, crew: Crew | None = None) -> None:
        self._settings, self._serving, self._metrics, self._crew = settings, serving, metrics, crew
        self._registry = Registry(settings.artifacts)
        self._wish: _Wish | None = None
        self._next: Generation | None = None
        self._tried: Generation | None = None
        self._looking = asyncio.Lock()

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Follow while the service runs."""
        if self._serving.generation is not None:
            self._say(None, Word(self._serving.generation.scorer.manifest.version))
        task = asyncio.create_task(self._follow()) if self._settings.model is None else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _follow(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # noqa: BLE001 - the version that serves goes on, and the next look may go well
                _log.exception("cannot look for another model version")
            await asyncio.sleep(_EVERY if self._next is None else _SOON)

    async def look(self) -> None:
        """Do what is to be done now; at once where somebody has just activated a version."""
        async with self._looking:
            wish = await run_sync(self._read)
            if wish is not None and wish != self._wish:
                await self._prepare(wish)
            if self._next is not None and self._wish is not None:
                await self._take_over(self._next, self._wish.active)

    async def activate(self, version: str, *, by: str | None = None, report: str | None = None) -> str:
        """Activate a version and wait until every process answers with it.

        Args:
            by, report: see :meth:`models.registry.Registry.activate`.

        Returns:
            What it still waits for after half a minute; "" once all have changed over.

        Raises:
            ModelNotFound: no such version; nothing has changed.
            InvalidBundle: it is damaged; nothing has changed.
            InvalidInput: it cannot take over, says why. Nothing has changed, or another process cannot serve it.
            Refused: no model is loaded yet.
        """
        if self._settings.model is not None:
            raise InvalidInput(
                "this service was started with a version's name (COUNTERFOIL_MODEL) and follows no other; restart it "
                "without"
            )
        now, _ = self._serving.now()
        if now.scorer.manifest.version != version:
            self._tried = await run_sync(self._load, now, version)
        await run_sync(partial(self._registry.activate, version, by=by, report=report))
        until = time.monotonic() + _PATIENCE
        while True:
            await self.look()
            why = await self._unsettled(version)
            if not why or time.monotonic() >= until:
                return why
            await asyncio.sleep(_SOON)

    async def _unsettled(self, version: str) -> str:
        """What a version still waits for; "" once all processes answer with it.

        Raises:
            InvalidInput: it will not serve.
        """
        if self._wish is None or self._wish.active.version != version:
            raise InvalidInput("another version was activated meanwhile")
        told = self._serving.succession
        if told is not None and told.state == "refused":
            raise InvalidInput(f"it does not take over: {told.why}; the version that serves goes on")
        if told is not None:
            return told.why
        late = [pid for pid, word in await self._others() if word.serves != version]
        return _for_processes(late) if late else ""

    async def _others(self) -> list[tuple[int, Word]]:
        return [] if self._crew is None else list(await run_sync(lambda crew: list(crew.others()), self._crew))

    def _read(self) -> _Wish | None:
        try:
            status = (self._registry.root / ACTIVE).stat()
            active = self._registry.activation()
        except FileNotFoundError:
            return None
        return None if active is None else _Wish(active, (status.st_ino, status.st_mtime_ns))

    async def _prepare(self, wish: _Wish) -> None:
        """Load and verify what is wished for, and tell the others how that went."""
        now, version = self._serving.generation, wish.active.version
        self._wish, self._next = wish, None
        if now is None or now.scorer.manifest.version == version:
            self._say(None, Word(version))
            return
        self._serving.succession = Succession(version, "loading")
        try:
            tried, self._tried = self._tried, None
            fits = tried is not None and tried.scorer.manifest.version == version
            self._next = tried if fits else await run_sync(self._load, now, version)
        except CounterfoilError as error:
            trouble = "there is no such version" if isinstance(error, ModelNotFound) else str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the version that serves goes on
            _log.exception("model %s cannot be loaded", version)
            trouble = type(error).__name__
        else:
            self._say(Succession(version, "waiting", "for the other processes"), Word(version))
            return
        self._refuse(version, trouble)

    def _load(self, now: Generation, version: str) -> Generation:
        """Raises CounterfoilError where it cannot take over."""
        found = Generation.of(self._settings, Scorer.load(self._registry.folder(version)))
        require_fit(now, found)
        return found

    async def _take_over(self, found: Generation, wanted: Active) -> None:
        """Swap, where all are ready and the store takes the activation."""
        others = await self._others()
        for pid, word in others:
            if word.version == wanted.version and word.trouble:
                self._next = None
                self._refuse(wanted.version, f"process {pid} cannot serve it: {word.trouble}")
                return
        late = [pid for pid, word in others if word.version != wanted.version]
        if late:
            self._serving.succession = Succession(wanted.version, "waiting", _for_processes(late))
            return
        before = self._serving.generation
        try:
            await self._serving.replace(found, wanted)
        except StoreUnavailable as error:
            self._serving.succession = Succession(wanted.version, "waiting", f"for the store: {error}")
            return
        self._next = None
        if self._crew is not None:
            await run_sync(self._crew.serve, self._registry.root / wanted.version)
        self._say(None, Word(wanted.version))
        self._metrics.model_changes("done")
        old = "" if before is None else f" in place of {before.scorer.manifest.version}"
        _log.info("model %s answers from now on%s", wanted.version, old)
        del before
        await run_sync(_give_back_memory)

    def _refuse(self, version: str, trouble: str) -> None:
        self._say(Succession(version, "refused", trouble), Word(version, trouble))
        self._metrics.model_changes("refused")
        _log.error("model %s does not take over: %s; the version that serves goes on", version, trouble)

    def _say(self, succession: Succession | None, word: Word) -> None:
        self._serving.succession = succession
        if self._crew is not None:
            now = self._serving.generation
            self._crew.say(replace(word, serves=None if now is None else now.scorer.manifest.version))


def _for_processes(late: list[int]) -> str:
    return f"for process{'es' if len(late) > 1 else ''} {', '.join(map(str, late))}"


def _give_back_memory() -> None:
    """Free the generation before: it is garbage in circles, and the allocator would keep what it took."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
