"""Spares requests the wait for a store that fails: it is tried beside them until it takes writes again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from app.store.errors import StoreUnavailable
from models.errors import CounterfoilError

#: Seconds for which a success counts as proof that the store takes writes.
_PROOF_SECONDS = 5.0
#: Seconds between two messages of a failure that goes on, or comes and goes.
_SAY_SECONDS = 60.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Breaker:
    """Stands between one thread and its store.

    Args:
        attempt: tries the store, writing; raises while it fails. Called in a thread of the breaker's own, and only
            between a failure and the next success: nobody else uses the store then.
        consequence: what becomes of transactions meanwhile, for the log.
        retry_seconds: from a failed try of the store to the next.
    """

    def __init__(self, attempt: Callable[[], None], consequence: Callable[[], str], retry_seconds: float = 1.0) -> None:
        self._attempt, self._consequence, self._retry_seconds = attempt, consequence, retry_seconds
        self._failure: StoreUnavailable | None = None
        self._began = 0.0
        self._proven = self._said = -_SAY_SECONDS
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def failure(self) -> StoreUnavailable | None:
        """Why the store fails, to be raised; None from the moment that it takes writes again."""
        known = self._failure
        return None if known is None else type(known)(str(known))

    @property
    def proven(self) -> bool:
        """Whether the store is known to take writes, or to fail, as of a moment ago."""
        return self._failure is not None or time.monotonic() - self._proven < _PROOF_SECONDS

    def run(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, which uses the store.

        Raises:
            StoreUnavailable: the store fails; where that is known, ``work`` is not called.
        """
        failure = self.failure
        if failure is not None:
            raise failure
        try:
            result = work()
        except StoreUnavailable as error:
            self._open(error)
            raise
        self._proven = time.monotonic()
        return result

    def close(self) -> None:
        """Try no more: the store is free for a last use."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _open(self, failure: StoreUnavailable) -> None:
        self._failure, self._began = failure, time.monotonic()
        self._say(failure)
        self._thread = threading.Thread(target=self._try_until_back, name="store-retry", daemon=True)
        self._thread.start()

    def _try_until_back(self) -> None:
        while not self._stop.wait(self._retry_seconds):
            try:
                self._attempt()
            except Exception as error:  # noqa: BLE001 - whatever it is, the store is not back
                self._failure = failure = _as_failure(error)
                self._say(failure)
            else:
                self._proven = time.monotonic()
                if self._said >= self._began:
                    _log.warning("the store is back after %.0f s", self._proven - self._began)
                self._failure = None
                return

    def _say(self, failure: StoreUnavailable) -> None:
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            _log.error("the store takes no writes: %s; %s", failure, self._consequence())


def _as_failure(error: Exception) -> StoreUnavailable:
    if isinstance(error, StoreUnavailable):
        return error
    return StoreUnavailable(str(error) if isinstance(error, CounterfoilError) else type(error).__name__)
