"""The endpoints: what each route does with a request, given the model version that serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio.to_thread import run_sync
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.bodies import Wanted, read_body, require_media_type, wanted
from app.csv_response import CsvResponse
from app.csv_scoring import CsvScoring
from app.example import example_transaction
from app.micro_batch import MicroBatcher
from app.problems import Refused, problem
from app.replies import BatchReply, Health, ModelReply, Ready, RowProblem, ScoreReply, model_reply, score_reply
from app.request_model import RequestModel, Row
from app.settings import Settings
from models.scorer import Scorer

#: Bodies up to this size are handled on the event loop: a few milliseconds at the very most.
_INLINE_BYTES = 8 << 10
_T = TypeVar("_T")


@dataclass(frozen=True)
class ActiveModel:
    """The version that serves, the request model made from its schema, and an example; replaced as one."""

    scorer: Scorer
    requests: RequestModel
    singles: MicroBatcher
    example: dict[str, Any]


class Endpoints:
    """The service's state and its endpoints.

    Args:
        settings: of the service.

    Attributes:
        active: the model that serves; None until one is loaded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._default = Wanted(settings.default_reasons)
        self.active: ActiveModel | None = None

    def activate(self, scorer: Scorer) -> None:
        """Serve a loaded, verified model from now on; requests in flight finish with the one they began with."""
        requests = RequestModel(scorer.schema, scorer.vocabulary, self._settings.max_batch)
        example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
        self.active = ActiveModel(scorer, requests, MicroBatcher(scorer, requests), example)

    async def score(self, request: Request) -> Response:
        """Score one transaction."""
        model = self._model()
        want = wanted(request, self._default)
        require_media_type(request, "application/json")
        body = await read_body(request, self._settings.max_body_bytes)
        row = await _off_loop(body, lambda: model.requests.one(body))
        scored = await model.singles.score(row)
        own_id = model.requests.transaction_id(row)
        reply = score_reply(model.scorer, scored.batch, scored.scores, scored.row, want, own_id)
        return Response(to_json(reply), media_type="application/json")

    async def score_batch(self, request: Request) -> Response:
        """Score many transactions. One that is refused has its problem in place of its score; the others are scored."""
        model = self._model()
        want = wanted(request, self._default)
        require_media_type(request, "application/json")
        body = await read_body(request, self._settings.max_body_bytes)
        request_id = request.state.request_id
        content = await _off_loop(body, lambda: _encoded(score_many(model, body, want, request_id)))
        return Response(content, media_type="application/json")

    async def score_csv(self, request: Request) -> Response:
        """Score a CSV: send it as the body, get it back with score, reconstruction_error, is_anomaly, decision, with
        reason_1 ... reason_N for ?reasons=N, and error. Streams; order and delimiter are kept."""
        model = self._model()
        scoring = CsvScoring(model.scorer, wanted(request, Wanted(0), known=("reasons",)).reasons)
        require_media_type(request, "text/csv")
        return CsvResponse(request, scoring, self._settings.max_csv_bytes)

    async def model(self) -> ModelReply:
        """The model version that serves: schema, threshold and policy, metrics, training."""
        return model_reply(self._model().scorer.manifest)

    async def healthz(self) -> Health:
        """Whether the process is alive."""
        return Health()

    async def readyz(self) -> Ready:
        """Whether a model is loaded, verified and has reproduced its golden rows."""
        return Ready(model_version=self._model().scorer.manifest.version)

    def _model(self) -> ActiveModel:
        if self.active is None:
            raise Refused("not-ready", "no model is loaded yet")
        return self.active


def score_many(model: ActiveModel, body: bytes, want: Wanted, request_id: str) -> BatchReply:
    """The reply to a body with a batch.

    Raises:
        Refused: it is none. A bad transaction in it has its problem in the reply.
    """
    rows = model.requests.many(body)
    good: list[Row] = [row for row in rows if not isinstance(row, Refused)]
    batch = model.requests.batch(good)
    scores = model.scorer.score(batch)
    results: list[ScoreReply | RowProblem] = []
    position = 0
    for row in rows:
        if isinstance(row, Refused):
            results.append(RowProblem(problem(row, request_id)))
        else:
            own_id = model.requests.transaction_id(row)
            results.append(score_reply(model.scorer, batch, scores, position, want, own_id))
            position += 1
    return BatchReply(model.scorer.manifest.version, results)


def _encoded(reply: BatchReply) -> bytes:
    """The reply as JSON, result by result: one call for all would keep the event loop's thread from running."""
    results = b",".join(to_json(result) for result in reply.results)
    return b'{"model_version":%b,"results":[%b]}' % (to_json(reply.model_version), results)


async def _off_loop(body: bytes, work: Callable[[], _T]) -> _T:
    """Do the work here where the body is small, in a thread where it could take long."""
    return work() if len(body) <= _INLINE_BYTES else await run_sync(work)
