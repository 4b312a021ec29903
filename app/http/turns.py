"""Work of the event loop that comes in thousands, done a little at a time so that everyone else gets his turn."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

#: Seconds of such work in one go of the loop: as many as the others had since the last one, but between these two.
_GO, _LONG_GO = 0.00025, 0.001
#: Seconds from its first go to a pause, what it set off in the loop included.
_TURN = 0.002
#: Seconds of the pause: half of the loop's time stays with the others, and other threads get theirs.
_PAUSE = 0.002


class Turns:
    """Does what it is given, in order: at once where nothing waits, else when its turn comes."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._began = self._ended = 0.0
        self._going = False

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting)

    def add(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
        """Do it, now or soon."""
        self._waiting.append(work)
        if not self._going:
            self._going = True
            self._begin(loop)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._began = time.perf_counter()
        self._ended = self._ended or self._began
        self._go(loop)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.perf_counter()
        self._going = bool(self._waiting)
        if not self._going:
            return
        if now - self._began > _TURN:
            loop.call_later(_PAUSE, self._begin, loop)
            return
        until = now + min(max(now - self._ended, _GO), _LONG_GO)
        try:
            while self._waiting and time.perf_counter() < until:
                self._waiting.popleft()()
        finally:  # what fails is told by the loop, and the others have their turn
            self._ended = time.perf_counter()
            loop.call_soon(self._go, loop)
