"""The endpoints: what each route does with a request, given the model version that serves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.problems import Refused, problem
from app.pseudonyms import Pseudonyms, keyed_scorer
from app.recording.ledger import Ledger
from app.recording.recorder import Recorder, Replayed
from app.recording.recovery import snapshot_of
from app.replies import Health, ModelReply, Ready, RowProblem, model_reply
from app.requests.bodies import Wanted, read_body, require_media_type, wanted
from app.requests.example import example_transaction
from app.requests.feedback import FeedbackModel, FeedbackReply
from app.requests.idempotency import REPLAYED, idempotency_key
from app.requests.model import RequestModel
from app.settings import Settings
from app.telemetry import gauges
from app.telemetry.metrics import Metrics
from app.telemetry.metrics_page import MetricsPage
from app.upload.response import CsvResponse
from app.upload.scoring import CsvScoring
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.state_fork import StateFork
from models.scorer import Scorer
from models.times import iso_text

#: Bodies up to this size are handled on the event loop: a few milliseconds at the very most.
_INLINE_BYTES = 8 << 10
#: Transactions of a batch that are recorded at once, so that others get their turn in between.
_AT_ONCE = 128
_T = TypeVar("_T")


@dataclass(frozen=True)
class ActiveModel:
    """The version that serves, the request models made from its schema, its ledger, and an example; replaced as one."""

    scorer: Scorer
    requests: RequestModel
    feedback: FeedbackModel
    ledger: Ledger
    example: dict[str, Any]


class Endpoints:
    """The service's state and its endpoints.

    Args:
        settings: of the service.
        metrics: where to count.
        page: shows what was counted.

    Attributes:
        active: the model that serves; None until one is loaded.
    """

    def __init__(self, settings: Settings, metrics: Metrics, page: MetricsPage) -> None:
        self._settings = settings
        self._metrics, self._page = metrics, page
        self._default = Wanted(settings.default_reasons)
        self.active: ActiveModel | None = None

    def activate(self, scorer: Scorer) -> None:
        """Serve a loaded, verified model from now on, its store opened and its states brought up to date.

        Raises:
            StoreInUse: another process owns the store.
            StoreUnavailable: it cannot be reached.
            InvalidInput: the settings of pseudonyms are wrong, or not those of the store.
        """
        scorer = keyed_scorer(scorer, self._settings)
        pseudonyms = Pseudonyms.open(self._settings, scorer.schema)
        requests = RequestModel(scorer.schema, scorer.vocabulary, self._settings.max_batch, pseudonyms)
        example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
        recorder = Recorder.open(self._settings, scorer, requests, self._metrics)
        ledger = Ledger(recorder, self._settings.on_store_failure)
        self.active = ActiveModel(scorer, requests, FeedbackModel(scorer.schema), ledger, example)

    def close(self) -> None:
        """Finish what is queued and release the store."""
        if self.active is not None:
            self.active.ledger.close()

    async def score(self, request: Request) -> Response:
        """Score one transaction and record it. The same transaction again gets the same answer and counts once."""
        model = self._model()
        want = wanted(request, self._default)
        key = idempotency_key(request)
        require_media_type(request, "application/json")
        body = await read_body(request, self._settings.max_body_bytes)
        row = await self._read(body, lambda: model.requests.one(body))
        (answer,) = await model.ledger.score([model.requests.asked(row, want, request.state.caller, key)])
        if isinstance(answer, Refused):
            raise answer
        headers = REPLAYED if isinstance(answer, Replayed) else None
        return Response(answer, headers=headers, media_type="application/json")

    async def score_batch(self, request: Request) -> Response:
        """Score and record many transactions in the order given. One that is refused has its problem in place of its
        score; the others are scored."""
        model = self._model()
        want = wanted(request, self._default)
        key = idempotency_key(request)
        require_media_type(request, "application/json")
        body = await read_body(request, self._settings.max_body_bytes)
        rows = await self._read(body, lambda: model.requests.many(body))
        answers: list[bytes | Refused] = []
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            asked = [
                model.requests.asked(row, want, request.state.caller, key, place=place)
                for place, row in enumerate(some, start)
                if not isinstance(row, Refused)
            ]
            scored = iter(await model.ledger.score(asked) if asked else [])
            answers += [row if isinstance(row, Refused) else next(scored) for row in some]
        request_id = request.state.request_id
        results = b",".join(
            to_json(RowProblem(problem(answer, request_id))) if isinstance(answer, Refused) else answer
            for answer in answers
        )
        version = to_json(model.scorer.manifest.version)
        return Response(b'{"model_version":%b,"results":[%b]}' % (version, results), media_type="application/json")

    async def score_csv(self, request: Request) -> Response:
        """Score a CSV: send it as the body, get it back with score, reconstruction_error, is_anomaly, decision, with
        reason_1 ... reason_N for ?reasons=N, and error. Streams; order and delimiter are kept. Nothing is recorded: its
        rows go on, in their order, from a copy of the states that ?state= names: live, snapshot or empty."""
        model = self._model()
        want = wanted(request, Wanted(0), known=("reasons", "state"))
        require_media_type(request, "text/csv")
        scoring = CsvScoring(model.scorer, want.reasons, await self._fork(model, want.state))
        return CsvResponse(request, scoring, self._settings.max_csv_bytes)

    async def feedback(self, request: Request) -> Response:
        """Say what became known of a recorded transaction. It counts in fraud_share once the label delay is over. The
        same again changes nothing; another label replaces the earlier one."""
        model = self._model()
        wanted(request, self._default, known=())
        require_media_type(request, "application/json")
        body = await read_body(request, self._settings.max_body_bytes)
        now = time.time_ns() // 1_000
        label = model.feedback.read(body, now)
        caller = request.state.caller
        known_at = await model.ledger.label(label.transaction_id, label.label, label.known_at, now, caller)
        if known_at is None:
            raise Refused("not-found", "no transaction with this id is recorded")
        reply = FeedbackReply(transaction_id=label.transaction_id, label=label.label, known_at=iso_text(known_at))
        return Response(to_json(reply), media_type="application/json")

    async def model(self) -> ModelReply:
        """The model version that serves: schema, threshold and policy, metrics, training."""
        return model_reply(self._model().scorer.manifest)

    async def healthz(self) -> Health:
        """Whether the process is alive."""
        return Health()

    async def readyz(self) -> Ready:
        """Whether a model is loaded and verified, and the store takes what is written, or need not."""
        model = self._model()
        failure = await model.ledger.failure()
        if failure is not None and self._settings.on_store_failure == "refuse":
            raise failure
        return Ready(model_version=model.scorer.manifest.version, logging=failure is None)

    async def _read(self, body: bytes, work: Callable[[], _T]) -> _T:
        """Do the work here where the body is small, in a thread where it could take long."""
        begun = time.perf_counter()
        try:
            return work() if len(body) <= _INLINE_BYTES else await run_sync(work)
        finally:
            self._metrics.validated(time.perf_counter() - begun)

    async def metrics(self, request: Request) -> Response:
        """What is measured, for Prometheus. Asks nothing of the store: it answers while that is gone."""
        if self.active is not None:
            gauges.update(self._metrics, self.active)
        content, media_type = await run_sync(self._page.write, request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    def _model(self) -> ActiveModel:
        if self.active is None:
            raise Refused("not-ready", "no model is loaded yet")
        return self.active

    async def _fork(self, model: ActiveModel, state: str) -> StateFork | None:
        behaviour = Behaviour(model.scorer.schema)
        if not behaviour:
            return None
        if state == "empty":
            return StateFork(behaviour, lambda _: {})
        if state == "snapshot":
            snapshot = await run_sync(snapshot_of, model.scorer)
            return StateFork(behaviour, lambda _: snapshot.states if snapshot else {})
        loop = asyncio.get_running_loop()

        def live(keys: Sequence[EntityKey]) -> Mapping[EntityKey, State]:  # called in a worker thread
            return asyncio.run_coroutine_threadsafe(model.ledger.peek(keys), loop).result()

        return StateFork(behaviour, live, model.requests.pseudonyms.rows)
