"""The endpoints: what each route does with a request, given what serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from anyio.to_thread import run_sync
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app import gauges
from app.generation import Generation
from app.problems import Refused, problem
from app.recording.answers import Answer
from app.recording.ledger import Ledger
from app.recording.startup import snapshot_of
from app.refusals import Refusal
from app.replays import given_before
from app.replies import Health, ModelReply, Ready, RowProblem, model_reply
from app.requests.arrival import Arrival, ScoreOptions
from app.requests.bodies import read_body, read_scoring, require_media_type, score_options
from app.requests.feedback import FeedbackReply
from app.requests.idempotency import REPLAYED, Key
from app.requests.strict_object import Row
from app.serving import Serving
from app.settings import Settings
from app.store.errors import OtherStates
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_page import MetricsPage
from app.upload.response import CsvResponse
from app.upload.scoring import CsvScoring
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.state_fork import StateFork
from models.times import iso_text

#: Bodies up to this size are handled on the event loop: a few milliseconds at the very most.
_INLINE_BYTES = 8 << 10
#: Transactions of a batch that are recorded at once, so that others get their turn in between.
_AT_ONCE = 128
_JSON = "application/json"
_T = TypeVar("_T")


class Endpoints:
    """The service's endpoints, but for those of the decision log.

    Args:
        settings: of the service.
        serving: what answers; a request stays with the generation that it begins with.
        metrics: where to count.
        page: shows what was counted.
    """

    def __init__(self, settings: Settings, serving: Serving, metrics: Metrics, page: MetricsPage) -> None:
        self._settings, self._serving = settings, serving
        self._metrics, self._page = metrics, page
        self._default = ScoreOptions(settings.default_reasons)

    async def score(self, request: Request) -> Response:
        """Score one transaction and record it. The same transaction again gets the same answer and counts once."""
        generation, ledger = self._serving.now()
        options, key, body = await read_scoring(request, self._default, self._settings.max_body_bytes)
        caller = request.state.caller
        try:
            row = await self.read(body, generation.requests.one)
        except Refused as refusal:
            former = await self.read(body, partial(generation.former.one, key=key, caller=caller))
            (answer,) = await given_before(generation, ledger, [former], [refusal])
        else:
            arrival = generation.encoder.row(row, options, caller, key)
            (answer,) = await ledger.score(generation.engine, [arrival])
        if isinstance(answer, Refusal):
            raise answer
        headers = REPLAYED if answer.reply is None else None
        return Response(answer.content, headers=headers, media_type=_JSON)

    async def score_batch(self, request: Request) -> Response:
        """Score and record many transactions in the order given. One that is refused has its problem in place of its
        score; the others are scored."""
        generation, ledger = self._serving.now()
        options, key, body = await read_scoring(request, self._default, self._settings.max_body_bytes)
        rows = await self.read(body, generation.requests.many)
        caller, refused = (
            request.state.caller,
            {place: row for place, row in enumerate(rows) if isinstance(row, Refusal)},
        )
        former = partial(generation.former.many, places=refused, key=key, caller=caller)
        again = await self.read(body, former) if refused else []
        told = await given_before(generation, ledger, again, [*refused.values()])
        answers = await self.record(generation, ledger, rows, options, caller, key)
        for place, answer in zip(refused, told, strict=True):
            answers[place] = answer
        request_id = request.state.request_id
        results = b",".join(
            to_json(RowProblem(problem(answer, request_id))) if isinstance(answer, Refusal) else answer.content
            for answer in answers
        )
        version = to_json(generation.scorer.manifest.version)
        return Response(b'{"model_version":%b,"results":[%b]}' % (version, results), media_type=_JSON)

    async def record(
        self,
        generation: Generation,
        ledger: Ledger,
        rows: Sequence[Row | Refusal],
        options: ScoreOptions,
        caller: str | None,
        key: Key | None,
    ) -> list[Answer | Refusal]:
        """Score and record the transactions of a batch, in order; a row that is refused stays what it is."""
        answers = list[Answer | Refusal]()
        for start in range(0, len(rows), _AT_ONCE):
            some = [
                _arrival(generation, row, options, caller, key, place)
                for place, row in enumerate(rows[start : start + _AT_ONCE], start)
            ]
            arrivals = [one for one in some if not isinstance(one, Refusal)]
            scored = iter(await ledger.score(generation.engine, arrivals) if arrivals else [])
            answers += [one if isinstance(one, Refusal) else next(scored) for one in some]
        return answers

    async def score_csv(self, request: Request) -> Response:
        """Score a CSV: send it as the body, get it back with score, reconstruction_error, is_anomaly, decision, with
        reason_1 ... reason_N for ?reasons=N, and error. Streams; order and delimiter are kept. Nothing is recorded: its
        rows go on, in their order, from a copy of the states that ?state= names: live, snapshot or empty."""
        generation, ledger = self._serving.now()
        options = score_options(request, ScoreOptions(0), known=("reasons", "state"))
        require_media_type(request, "text/csv")
        beside, fork = self._serving.beside, await _fork(generation, ledger, options.state)
        scoring = CsvScoring(generation.scorer, options.reasons, fork, beside.pressed)
        return CsvResponse(request, scoring, self._settings.max_csv_bytes, beside)

    async def feedback(self, request: Request) -> Response:
        """Say what became known of a recorded transaction. It counts in fraud_share once the label delay is over. The
        same again changes nothing; another label replaces the earlier one."""
        generation, ledger = self._serving.now()
        score_options(request, self._default, known=())
        require_media_type(request, _JSON)
        body = await read_body(request, self._settings.max_body_bytes)
        now = time.time_ns() // 1_000
        label = generation.feedback.read(body, now + self._settings.future_tolerance_seconds * 1_000_000)
        caller = request.state.caller
        known_at = await ledger.label(label.transaction_id, label.label, label.known_at, now, caller)
        if known_at is None:
            raise Refused("not-found", "no transaction with this id is recorded")
        reply = FeedbackReply(transaction_id=label.transaction_id, label=label.label, known_at=iso_text(known_at))
        return Response(to_json(reply), media_type=_JSON)

    async def model(self) -> ModelReply:
        """The model version that serves: schema, threshold and policy, metrics, training."""
        return model_reply(self._serving.now()[0].scorer.manifest)

    async def healthz(self) -> Health:
        """Whether the process is alive."""
        return Health()

    async def readyz(self) -> Ready:
        """Whether a model is loaded and verified, the store has its states, and it writes or may fail."""
        generation, ledger = self._serving.now()
        failure = await ledger.failure()
        tolerated = self._settings.on_store_failure == "score" and not isinstance(failure, OtherStates)
        if failure is not None and not tolerated:
            raise failure
        version = generation.scorer.manifest.version
        return Ready(model_version=version, logging=failure is None, next=self._serving.succession)

    async def read(self, body: bytes, read: Callable[[bytes], _T]) -> _T:
        """What a body holds: read here where it is small, in a thread where that could take long."""
        begun = time.perf_counter()
        try:
            return read(body) if len(body) <= _INLINE_BYTES else await run_sync(read, body)
        finally:
            self._metrics.validated(time.perf_counter() - begun)

    async def metrics(self, request: Request) -> Response:
        """What is measured, for Prometheus. Asks nothing of the store: it answers while that is gone."""
        gauges.update(self._metrics, self._serving)
        content, media_type = await run_sync(self._page.write, request.headers.get("accept", ""))
        return Response(content, media_type=media_type)


def _arrival(
    generation: Generation,
    row: Row | Refusal,
    options: ScoreOptions,
    caller: str | None,
    key: Key | None,
    place: int,
) -> Arrival | Refusal:
    """A row of a batch as it arrives, or why it does not."""
    if isinstance(row, Refusal):
        return row
    try:
        return generation.encoder.row(row, options, caller, key, place)
    except Refusal as refusal:
        return refusal


async def _fork(generation: Generation, ledger: Ledger, state: str) -> StateFork | None:
    """What the rows of a CSV go on from; None where the model has no behaviour features."""
    behaviour = generation.engine.behaviour
    if not behaviour:
        return None
    if state == "empty":
        return StateFork(behaviour, lambda _: {})
    if state == "snapshot":
        snapshot = await run_sync(snapshot_of, generation.scorer)
        return StateFork(behaviour, lambda _: snapshot.states if snapshot else {})
    loop = asyncio.get_running_loop()

    def live(keys: Sequence[EntityKey]) -> Mapping[EntityKey, State]:  # called in a worker thread
        return asyncio.run_coroutine_threadsafe(ledger.peek(keys), loop).result()

    return StateFork(behaviour, live, generation.pseudonyms.rows)
