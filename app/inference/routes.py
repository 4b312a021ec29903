"""The endpoints of the Open Inference Protocol. What they score is recorded, as by ``POST /v1/score/batch``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.metadata import version as version_of
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from app.endpoints import Endpoints
from app.generation import Generation
from app.inference import tensors
from app.problems import Refused
from app.refusals import FieldProblem, Refusal
from app.requests.arrival import ScoreOptions
from app.requests.bodies import read_body, require_media_type, score_options
from app.requests.idempotency import idempotency_key
from app.requests.strict_object import Row
from app.serving import Serving
from app.settings import Settings

#: Of the protocol, for whichever version serves.
MODEL = "counterfoil"
_JSON = "application/json"
_BINARY = "inference-header-content-length"
_NO_REASONS = ScoreOptions(0)


class Live(BaseModel):
    """The process is alive."""

    live: Literal[True] = True


class AllReady(BaseModel):
    """It scores."""

    ready: Literal[True] = True


class ModelReady(BaseModel):
    """The model scores."""

    name: str
    ready: Literal[True] = True


class Server(BaseModel):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """An input or an output of the model."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1: any length")


class ModelMetadata(BaseModel):
    """The model: fields of a transaction in, scores out."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Inference:
    """Belongs to the event loop.

    Args:
        endpoints: score and record.
    """

    def __init__(self, settings: Settings, serving: Serving, endpoints: Endpoints) -> None:
        self._settings, self._serving, self._endpoints = settings, serving, endpoints

    async def live(self) -> Live:
        """Whether the process is alive."""
        return Live()

    async def ready(self) -> AllReady:
        """Whether the service is ready, as /readyz."""
        await self._endpoints.readyz()
        return AllReady()

    async def server(self) -> Server:
        """What serves."""
        return Server(name=MODEL, version=version_of("counterfoil"), extensions=[])

    async def model(self, request: Request) -> Response:
        """The model's inputs and outputs."""
        generation = self._asked(request)
        fields: dict[str, Any] = generation.requests.transaction["properties"]
        needed = generation.requests.transaction["required"]
        inputs = [TensorMetadata(name=name, datatype=datatype(fields[name]), shape=[-1]) for name in needed]
        outputs = [TensorMetadata(name=name, datatype=kind, shape=[-1]) for name, kind in tensors.OUTPUTS.items()]
        versions = [generation.scorer.manifest.version]
        return _answer(
            ModelMetadata(name=MODEL, versions=versions, platform="onnxruntime_onnx", inputs=inputs, outputs=outputs)
        )

    async def model_ready(self, request: Request) -> Response:
        """Whether the model is ready, as /readyz."""
        self._asked(request)
        await self._endpoints.readyz()
        return _answer(ModelReady(name=MODEL))

    async def infer(self, request: Request) -> Response:
        """Score transactions that are sent as tensors, and record them. Nothing is recorded where one of them does not
        fit the schema."""
        generation, ledger = self._asked(request), self._serving.now()[1]
        score_options(request, _NO_REASONS, known=())
        key = idempotency_key(request)
        if _BINARY in request.headers:
            raise Refused("unsupported-media-type", "send tensors as JSON: binary_data=False")
        if "content-type" in request.headers:
            require_media_type(request, _JSON)
        body = await read_body(request, self._settings.max_body_bytes)
        asked, rows = await self._endpoints.read(body, partial(_transactions, generation))
        for place, row in enumerate(rows):
            if isinstance(row, Refusal):
                raise _at(place, row)
        answers = await self._endpoints.record(generation, ledger, rows, _NO_REASONS, request.state.caller, key)
        for place, answer in enumerate(answers):
            if isinstance(answer, Refusal):
                raise _at(place, answer)
        reply = tensors.InferReply(
            model_name=MODEL,
            model_version=generation.scorer.manifest.version,
            id=asked.id,
            outputs=tensors.outputs(asked, [one.content for one in answers if not isinstance(one, Refusal)]),
        )
        return _answer(reply)

    def _asked(self, request: Request) -> Generation:
        """What serves, where it is the model that is asked for."""
        generation, _ = self._serving.now()
        path = request.path_params
        serves = generation.scorer.manifest.version
        if path["model"] != MODEL or path.get("version", serves) != serves:
            raise Refused("not-found", f"expected the model {MODEL}, and of its versions the one that serves")
        return generation


def _transactions(generation: Generation, body: bytes) -> tuple[tensors.InferRequest, Sequence[Row | Refusal]]:
    """What is asked for, and the transactions, each read as one that comes by the service's own API."""
    asked = tensors.read(body)
    return asked, generation.requests.many(tensors.transactions(asked))


def _at(place: int, refusal: Refusal) -> Refused:
    """Why one transaction is refused, as the problem of its request."""
    kind = refusal.kind if isinstance(refusal, Refused) else "conflict"
    errors = [FieldProblem(field=f"{place}.{one.field}", message=one.message) for one in refusal.errors]
    listed = "; ".join(f"{one.field}: {one.message}" for one in refusal.errors)
    return Refused(kind, f"transaction {place} (from 0): {listed or refusal}", errors)


def datatype(shape: dict[str, Any]) -> str:
    """The type of a tensor for a field with this JSON Schema: of several types the first, which is the column's own."""
    named = (one.get("type") for one in (shape, *shape.get("anyOf", ()), *shape.get("oneOf", ())))
    kinds = (kind for one in named if one for kind in (one if isinstance(one, list) else [one]))
    return {"number": "FP64", "integer": "INT64"}.get(next(kinds, ""), "BYTES")


def _answer(reply: BaseModel) -> Response:
    return Response(to_json(reply, exclude_none=True), media_type=_JSON)
