"""The routes of the decision log."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import polars as pl
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app.decisions import purge_request
from app.decisions.export import csv_parts, frames
from app.decisions.later_reasons import later_reasons
from app.decisions.purge import Purged
from app.decisions.purge_request import PurgeReply
from app.decisions.query import DecisionQuery, checked_text, cursor, decision_query, find, refuse
from app.decisions.replies import DecisionPage, line, whole
from app.decisions.transactions import transaction_frames
from app.problems import Refused
from app.requests.arrival import ScoreOptions
from app.requests.bodies import read_body, require_media_type, score_options
from app.serving import Serving
from app.settings import Settings
from app.store.contract import Store
from app.store.errors import StoreInUse, StoreUnavailable
from app.store.records import Decision
from models.behaviour.keys import EntityKey
from models.bundle import read_manifest
from models.errors import CounterfoilError
from models.manifest import Manifest
from models.reasons import Reason
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from models.tables import write_frames

#: Readers of the store at once, so that they leave the processor and its connections to those who score.
_READERS, _EXPORTERS = 4, 2
_PIECE = 256 << 10
_PURGING = "another purge is running; send this one once it is done"
#: Seconds between two messages that the store cannot be read.
_SAY_SECONDS = 60.0
_MEDIA_TYPES = {"csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
_log = logging.getLogger(__name__)


class Decisions:
    """Reads what was recorded, beside the ledger and never on the event loop.

    Args:
        serving: the model that serves, and with it the store.

    Attributes:
        purging: whether something is being erased.
    """

    def __init__(self, settings: Settings, serving: Serving) -> None:
        self._registry = Registry(settings.artifacts)
        self._serving = serving
        self._most_bytes = settings.max_body_bytes
        self.purging = False
        self._said = -_SAY_SECONDS
        self._readers, self._exporters = CapacityLimiter(_READERS), CapacityLimiter(_EXPORTERS)

    async def page(self, request: Request) -> Response:
        """Recorded decisions, newest first. Beside the filters below, each [entity] section of the schema is one, e.g.
        card=ID. The next page is asked for with ?cursor= and what this one says in next."""
        generation, ledger = self._serving.now()
        query = decision_query(request, generation.schema, "limit", "cursor", pseudonyms=generation.pseudonyms)
        return await self._answer(partial(_page, ledger.recorder.store, generation.schema, query))

    async def one(self, request: Request) -> Response:
        """One recorded decision: the transaction as read, the features as scored, the reasons as answered, all labels.
        With ?reasons=N the reasons are those that would have been answered then, from the features as scored. Where the
        schema has no id, its place in the order of arrival (seq) stands for it."""
        generation, ledger = self._serving.now()
        store, schema, scorer = ledger.recorder.store, generation.schema, generation.scorer
        top = score_options(request, ScoreOptions(0), known=("reasons",)).reasons
        try:
            name = checked_text(request.path_params["transaction_id"])
        except ValueError as error:
            refuse("transaction_id", str(error))

        def read() -> bytes:
            recorded = find(store, schema, name)
            if recorded is None:
                raise Refused("not-found", "no transaction with this id is recorded")
            told = whole(recorded, schema, self._manifest(recorded.decision.model_version, scorer.manifest))
            return to_json(replace(told, reasons=self._later(recorded.decision, scorer, top)) if top else told)

        return await self._answer(read)

    async def export(self, request: Request) -> Response:
        """The recorded decisions that pass the filters as a file, newest first; with transactions=true the transactions
        themselves, oldest first. In a CSV, a text that a spreadsheet would take for a formula stands behind an
        apostrophe."""
        generation, ledger = self._serving.now()
        schema, store = generation.schema, ledger.recorder.store
        query = decision_query(request, schema, "format", "transactions", pseudonyms=generation.pseudonyms)
        parts = self._told((transaction_frames if query.transactions else frames)(store, query.filter, schema))
        if query.format == "csv":
            pieces = csv_parts(parts)
            limiter = self._exporters if query.transactions else self._readers  # the oldest page is the last one read
            first = await run_sync(next, pieces, limiter=limiter)  # a store that is gone shows before the answer
            content = _chained(first, pieces)
        else:
            content = _pieces(await run_sync(_parquet, parts, limiter=self._exporters))
        name = "transactions" if query.transactions else "decisions"
        headers = {"Content-Disposition": f'attachment; filename="{name}.{query.format}"'}
        return StreamingResponse(content, headers=headers, media_type=_MEDIA_TYPES[query.format])

    async def purge(self, request: Request) -> Response:
        """Erase what arrived before a time, or all of one card, merchant or other entity: decisions, labels, states.
        What remains goes on as if nothing had been erased. Scoring goes on meanwhile."""
        generation, _ = self._serving.now()
        score_options(request, ScoreOptions(0), known=())
        require_media_type(request, "application/json")
        body = await read_body(request, self._most_bytes)
        purged = await self.erase(purge_request.read(body, generation.schema, generation.pseudonyms))
        reply = PurgeReply(purged.decisions, purged.compacted, purged.scrubbed)
        return Response(to_json(reply), media_type="application/json")

    async def erase(self, what: int | EntityKey) -> Purged:
        """Erase what arrived before a time, or all of an entity.

        Raises:
            Refused: another purge is running, or this one is to be sent again and goes on.
            StoreUnavailable: the store failed; the same again goes on.
        """
        generation, ledger = self._serving.now()
        if self.purging:
            raise Refused("conflict", _PURGING)
        self.purging = True
        try:
            loop = asyncio.get_running_loop()
            work = partial(purge_request.carry_out, what, ledger, generation.schema, loop)
            with self._telling():
                return await run_sync(work, limiter=self._exporters)
        except StoreInUse:
            raise Refused("conflict", _PURGING) from None
        finally:
            self.purging = False

    async def _answer(self, work: Callable[[], bytes]) -> Response:
        with self._telling():
            content = await self._serving.beside.run(work, self._readers)
            return Response(content, media_type="application/json")

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Log why the store cannot be read, which callers are not told. What the ledger knows of, it logs itself."""
        try:
            yield
        except StoreUnavailable as error:
            if self._serving.now()[1].healthy and time.monotonic() - self._said >= _SAY_SECONDS:
                self._said = time.monotonic()
                _log.error("the store cannot be read: %s", error)
            raise

    def _told(self, parts: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        with self._telling():
            yield from self._serving.beside.resting(parts)

    def _later(self, decision: Decision, serving: Scorer, top: int) -> list[Reason]:
        try:
            return later_reasons(decision, self._registry, top, serving)
        except CounterfoilError:
            raise Refused(
                "conflict", "the version that scored it cannot be loaded any more; ask without reasons"
            ) from None

    def _manifest(self, version: str, serving: Manifest) -> Manifest | None:
        if version == serving.version:
            return serving
        try:
            return read_manifest(self._registry.folder(version))
        except CounterfoilError:
            return None


def _page(store: Store, schema: TransactionSchema, query: DecisionQuery) -> bytes:
    page = store.page(query.filter, query.before, query.limit)
    lines = [line(recorded, schema) for recorded in page.decisions]
    return to_json(DecisionPage(lines, None if page.before is None else cursor(page.before)))


def _parquet(parts: Iterator[pl.DataFrame]) -> IO[bytes]:
    """A file that has no name any more, at its beginning."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "decisions.parquet"
        write_frames(path, parts)
        return path.open("rb")


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
