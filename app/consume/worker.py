"""The worker's loop: read, have scored, settle; wait where one of the two does not answer; stop when asked to."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from app.consume.broker import Broker, Reason, Settled, Unavailable
from app.consume.progress import Progress
from app.consume.scoring import Scoring
from models.errors import CounterfoilError

#: Seconds that what is in hand may take after a signal; leaving the broker takes some more.
DRAIN = 7.0
#: Seconds between two signs of life while waiting; between two tries of a broker that does not answer.
_KEEP, _AGAIN = 1.0, 1.0
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Stopped(Exception):
    """The worker was asked to stop, and what is in hand cannot be settled in time. It stays with the broker."""


class Stop:
    """SIGTERM and SIGINT, as a worker takes them: the first asks; after a while, or with the second, it is over.

    Raises:
        Stopped: from a handler, wherever the worker is then.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._over = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.over()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def over(self) -> None:
        """Nothing is in hand any more: there is no need to hurry."""
        self._over = True
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.asked.is_set() and not self._over:
            raise Stopped
        self.asked.set()
        signal.setitimer(signal.ITIMER_REAL, DRAIN)


class Worker:
    """Belongs to the main thread, which signals interrupt.

    Args:
        most: messages that are sent in one request.
        refused_in_a_row: so many, and the worker stops in place of putting them all aside; 0 for never.
        stop: asks it to stop.
    """

    def __init__(self, broker: Broker, most: int, refused_in_a_row: int, stop: Stop) -> None:
        self._broker, self._most = broker, most
        self._limit, self._in_a_row = refused_in_a_row, 0
        self._stop = stop

    def run(self, scoring: Scoring, progress: Progress, *, once: bool) -> None:
        """Work until asked to stop.

        Args:
            once: stop at the end of what there is.

        Raises:
            CounterfoilError: it cannot go on; what is not settled stays with the broker.
        """
        try:
            while not self._stop.asked.is_set():
                messages = self._patiently(lambda: self._broker.read(self._most))
                if messages:
                    settled = scoring.settle(messages)
                    self._require_some_scored(settled)
                    self._patiently(lambda: self._broker.settle(settled))  # noqa: B023 - called at once
                    progress.add(settled)
                elif once and self._broker.lag() == 0:
                    break
                progress.tell()
        except Stopped:
            _log.warning("stopped with messages in hand: they stay with the broker, and will be read again")
        finally:
            self._stop.over()
            progress.tell(now=True)

    def wait(self, seconds: float) -> None:
        """Wait, and keep what is in hand.

        Raises:
            Stopped: there is no more time for it.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._broker.keep()
            if self._stop.asked.wait(min(left, _KEEP)):
                raise Stopped

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        told = ""
        while True:
            try:
                answer = ask()
            except Unavailable as error:
                if str(error) != told:
                    _log.warning("%s; waiting, nothing is lost", error)
                    told = str(error)
                if self._stop.asked.wait(_AGAIN):
                    raise Stopped from None
            else:
                if told:
                    _log.info("the broker answers again")
                return answer

    def _require_some_scored(self, settled: Sequence[Settled]) -> None:
        """Refusals in a row are no poison: it is the wrong topic, or another schema than the one that serves."""
        reasons: Counter[str] = Counter()
        for one in settled:
            if isinstance(one.outcome, Reason):
                self._in_a_row += 1
                reasons[str(one.outcome)] += 1
                if self._in_a_row == self._limit:
                    ((most, _),) = reasons.most_common(1)
                    raise CounterfoilError(
                        f"{self._limit:,} messages in a row were refused, most of them for {most}. Do they fit the "
                        "model that serves (GET /v1/model)? They stay where they are; --refused-in-a-row 0 puts them "
                        "aside in any case"
                    )
            else:
                self._in_a_row = 0
