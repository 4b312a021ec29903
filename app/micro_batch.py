"""Transactions that arrive at the same moment are scored in one run of the graph.

A run costs about as much for sixteen rows as for one. Nobody waits for company: the rows that the event loop has
collected when it comes round to scoring go together, a lone one goes alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from app.request_model import RequestModel, Row
from models.rows import Batch
from models.scorer import Scorer, Scores

#: Rows per run, so that a crowd does not hold the event loop for long.
_MOST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Scored:
    """A scored batch and the place of one transaction in it."""

    batch: Batch
    scores: Scores
    row: int


class MicroBatcher:
    """Scores single transactions together. Belongs to one event loop."""

    def __init__(self, scorer: Scorer, requests: RequestModel) -> None:
        self._scorer = scorer
        self._requests = requests
        self._waiting: list[tuple[Row, asyncio.Future[Scored]]] = []

    def score(self, row: Row) -> asyncio.Future[Scored]:
        """The score of a validated transaction, when the event loop comes round to it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Scored] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._run)
        self._waiting.append((row, future))
        return future

    def _run(self) -> None:
        now, self._waiting = self._waiting[:_MOST_ROWS], self._waiting[_MOST_ROWS:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._run)
        try:
            batch = self._requests.batch([row for row, _ in now])
            scores = self._scorer.score(batch)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the requests that wait for it
            for _, future in now:
                if not future.done():
                    future.set_exception(error)
            return
        for position, (_, future) in enumerate(now):
            if not future.done():  # its client may have gone away
                future.set_result(Scored(batch, scores, position))
