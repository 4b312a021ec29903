"""Work beside payments: uploads, reads of the log, pages. While payments wait it goes on piece by piece, with rests.

Each piece is done in a thread. Threads share the processor and the interpreter with the ledger's, so that a few of them
would take most of the time from payments.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

#: While payments wait: seconds of rest after each second of such work, and the most after a piece: others wait behind
#: it, too. Seconds between looks whether they still do.
_REST, _LONGEST, _LOOK = 9.0, 2.0, 0.02
_T = TypeVar("_T")


class Beside:
    """Belongs to the event loop.

    While nothing waits, all of it goes on at once. While payments do, its pieces take turns, in the order in which they
    ask, with rests: a tenth of the time is theirs, so that an upload, or a page, is late and comes nevertheless.

    Args:
        pressed: whether payments wait that want the processor.

    Attributes:
        pressed: as given.
    """

    def __init__(self, pressed: Callable[[], bool]) -> None:
        self.pressed = pressed
        self._turn = asyncio.Lock()
        self._rested = 0.0  # when the rest is over

    async def run(self, work: Callable[[], _T], limiter: CapacityLimiter | None = None) -> _T:
        """What ``work`` returns, done in a thread once it may.

        Args:
            limiter: of the threads that do such work at once; asyncio's own by default.
        """
        if not self.pressed():
            return await run_sync(work, limiter=limiter)
        async with self._turn:
            while self.pressed() and (left := self._rested - time.monotonic()) > 0:
                await asyncio.sleep(min(left, _LOOK))
            begun = time.monotonic()
            try:
                return await run_sync(work, limiter=limiter)
            finally:
                self._rested = _rested(begun)

    def resting(self, parts: Iterator[_T]) -> Iterator[_T]:
        """The same, with the same rests between them; for a thread that asks for one after the other."""
        while True:
            begun = time.monotonic()
            try:
                part = next(parts)
            except StopIteration:
                return
            rested = _rested(begun)
            yield part
            while self.pressed() and (left := rested - time.monotonic()) > 0:
                time.sleep(min(left, _LOOK))


def _rested(begun: float) -> float:
    """When the rest is over after a piece that began then and is done now."""
    now = time.monotonic()
    return now + min(_REST * (now - begun), _LONGEST)
