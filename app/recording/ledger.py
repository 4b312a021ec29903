"""The ledger: one thread that owns the states and the store; requests from the event loop wait for it in a queue.

What has queued up when the thread comes round goes into one transaction of the store, so that many requests share one
run of the graph and one sync of the disk. A lone request goes alone and waits for nobody.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar

from app.recording.answers import Answer
from app.recording.breaker import Breaker
from app.recording.engine import Engine
from app.recording.pace import TELLING, Pace
from app.recording.recorder import Recorder
from app.refusals import Refusal
from app.requests.arrival import Arrival
from app.store.contract import OnStoreFailure
from app.store.errors import StoreUnavailable
from app.store.records import Decision, Label, Name
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.familiarity import unfamiliar

#: Transactions in one transaction of the store, so that a crowd does not make the first ones wait for long.
_MOST_ROWS = 256
#: Answers handed over in one round of the event loop: the rest of what it has to do is not to wait for all of them.
_TOLD_AT_ONCE = 4
#: Seconds for which a crowd that has gone may come back.
_MOMENT = 0.25
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    """Work for the thread, and whom to tell.

    ``arrivals`` may share a transaction with others of their engine; ``work`` is done by itself.
    """

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    arrivals: Sequence[Arrival] = ()
    engine: Engine | None = None
    work: Callable[[], Any] | None = None


class Ledger:
    """Scores and records, in order of arrival.

    Args:
        recorder: belongs to the ledger from now on.
        on_failure: what becomes of transactions while the store fails.

    Attributes:
        unlogged: transactions answered without being recorded so far.
        on_failure: as given.
        rows: that wait for the thread, or for their answers from it. Belongs to the event loop.
        answered: rows so far. Belongs to the event loop.
        pace: how fast the service answers, as :class:`app.admission.Admission` measures it.
    """

    def __init__(self, recorder: Recorder, on_failure: OnStoreFailure = "refuse") -> None:
        self.recorder = recorder
        self.unlogged = 0
        self.on_failure = on_failure
        self.rows = self.answered = 0
        self.pace = Pace()
        self._crowded = -_MOMENT
        self._breaker = Breaker(recorder.try_store, self._consequence)
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether the last use of the store went well."""
        return self._breaker.failure is None

    async def failure(self) -> StoreUnavailable | None:
        """Why the store takes no writes; None while it does. It is tried where nothing was written for a while."""
        if not self._breaker.proven:
            try:
                await self.run(self.recorder.try_store)
            except StoreUnavailable as error:
                return error
        return self._breaker.failure

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return self._queue.qsize()

    @property
    def pressed(self) -> bool:
        """Whether many rows wait, or did a moment ago: between two rounds of the thread there may be none."""
        return time.monotonic() - self._crowded < _MOMENT

    async def score(self, engine: Engine, arrivals: Sequence[Arrival]) -> list[Answer | Refusal]:
        """Score and record transactions; returns when they are durable, or scored without that, if so chosen.

        Args:
            engine: of the generation that the request is pinned to.

        Raises:
            StoreUnavailable: nothing was recorded.
        """
        answers: list[Answer | Refusal] = await self._put(arrivals, engine)
        return answers

    async def known(self, names: Sequence[Name]) -> Mapping[Name, Decision]:
        """As :meth:`app.recording.recorder.Recorder.known`."""
        return await self.run(lambda: self.recorder.known(names))

    async def label(
        self, transaction_id: str, label: Label, known_at: int | None, arrived_at: int, caller: str | None
    ) -> int | None:
        """As :meth:`app.recording.recorder.Recorder.label`."""
        return await self.run(lambda: self.recorder.label(transaction_id, label, known_at, arrived_at, caller))

    async def peek(self, keys: Sequence[EntityKey]) -> dict[EntityKey, State]:
        """As :meth:`app.recording.state_cache.StateCache.peek`."""
        return await self.run(lambda: self.recorder.states.peek(keys))

    async def run(self, work: Callable[[], _T]) -> _T:
        """What ``work`` returns, done in the ledger's thread between its transactions."""
        result: _T = await self._put(work=work)
        return result

    def close(self) -> None:
        """Finish what is queued, save all states, release the store."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _put(
        self,
        arrivals: Sequence[Arrival] = (),
        engine: Engine | None = None,
        work: Callable[[], Any] | None = None,
    ) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self.rows += len(arrivals)
        if self.rows >= TELLING:
            self._crowded = time.monotonic()
        self._queue.put(_Job(loop, future, arrivals, engine, work))
        return future

    def _run(self) -> None:
        while True:
            jobs: list[_Job] = []
            job = self._queue.get()
            rows = 0
            while job is not None:
                jobs.append(job)
                rows += len(job.arrivals)
                if job.work is not None or rows >= _MOST_ROWS:
                    break
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._carry_out(jobs)
            if job is None:
                break
        self._breaker.close()
        self.recorder.close()

    def _carry_out(self, jobs: list[_Job]) -> None:
        alone = jobs.pop() if jobs and jobs[-1].work is not None else None
        if jobs:
            self._answer(jobs)
        if alone is not None and alone.work is not None:
            work = alone.work
            self._tell([alone], *self._try(lambda: self._breaker.run(work)))

    def _answer(self, jobs: list[_Job]) -> None:
        """Those of one engine in one transaction: while one model version takes over from another there are two."""
        for engine, some in groupby(jobs, attrgetter("engine")):
            self._answer_under(engine, list(some))

    def _answer_under(self, engine: Engine, jobs: list[_Job]) -> None:
        arrivals = [one for job in jobs for one in job.arrivals]
        results, error = self._try(lambda: self._record(engine, arrivals))
        if results is None:
            self._tell(jobs, None, error)
            return
        start, parts = 0, []
        for job in jobs:
            parts.append(results[start : start + len(job.arrivals)])
            start += len(job.arrivals)
        self._tell(jobs, parts, None, each=True)

    def _record(self, engine: Engine, arrivals: Sequence[Arrival]) -> list[Answer | Refusal]:
        try:
            answers = self._breaker.run(partial(self.recorder.answer, engine, arrivals))
            for name in engine.familiarity.news():
                _log.warning("%s", unfamiliar(name))
            if self.recorder.rulebook is not None:
                for name, why in self.recorder.rulebook.news().items():
                    _log.warning("rule %s could not be told for a transaction, and did not hold: %s", name, why)
            return answers
        except StoreUnavailable:
            if self.on_failure == "refuse":
                raise
        answers = self.recorder.answer_unlogged(engine, arrivals)
        self.unlogged += sum(isinstance(answer, Answer) for answer in answers)
        return answers

    def _consequence(self) -> str:
        if self.on_failure == "refuse":
            return "transactions are refused with 503 until it does"
        return f"scoring goes on, {self.unlogged:,} transactions were not recorded since the start"

    @staticmethod
    def _try(work: Callable[[], _T]) -> tuple[_T | None, Exception | None]:
        try:
            return work(), None
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the requests that wait for it
            return None, error

    def _tell(self, jobs: list[_Job], result: Any, error: Exception | None, *, each: bool = False) -> None:
        """Hand results over to the event loop, in their order, some in each of its rounds."""

        def deliver(loop: asyncio.AbstractEventLoop, mine: list[tuple[_Job, Any]], start: int = 0) -> None:
            until = start + _TOLD_AT_ONCE
            for job, value in mine[start:until]:
                self.rows -= len(job.arrivals)
                self.answered += len(job.arrivals)
                if job.future.done():  # its client may have gone away
                    continue
                if error is not None:
                    job.future.set_exception(error)
                else:
                    job.future.set_result(value)
            if until < len(mine):
                loop.call_soon(deliver, loop, mine, until)

        pairs = list(zip(jobs, result, strict=True)) if each else [(job, result) for job in jobs]
        for loop in {id(job.loop): job.loop for job in jobs}.values():
            mine = [(job, value) for job, value in pairs if job.loop is loop]
            try:
                loop.call_soon_threadsafe(deliver, loop, mine)
            except RuntimeError:  # the loop is closed: nobody waits any more
                _log.debug("answers for a closed event loop")
