"""Tensors of the Open Inference Protocol to transactions, and scores to tensors. JSON only, no binary data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from app.problems import Refused, name_or_withheld, refused
from app.refusals import FieldProblem
from models.pan import contains_card_number

KIND = "invalid-transaction"
#: What a model answers, and its type.
OUTPUTS = {
    "score": "FP64",
    "is_anomaly": "BOOL",
    "decision": "BYTES",
    "reconstruction_error": "FP64",
    "threshold": "FP64",
}
_INTEGERS = {f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
_STRICT = ConfigDict(strict=True)


class Input(BaseModel):
    """One column of the transactions, as a tensor [n] or [n, 1]."""

    model_config = _STRICT

    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=2, description="[n] or [n, 1]")
    datatype: str = Field(description="BYTES, BOOL, FP64, FP32, INT64 or another number", examples=["FP64"])
    data: list[Any] = Field(description="[n], or [n, 1] nested; null where the column may have no value")


class Output(BaseModel):
    """An output that is asked for."""

    model_config = _STRICT

    name: str = Field(json_schema_extra={"enum": [*OUTPUTS]})


class InferRequest(BaseModel):
    """Transactions to score. Parameters are ignored: answers are JSON."""

    model_config = _STRICT

    id: str | None = Field(default=None, max_length=256, description="Comes back with the answer")
    inputs: list[Input] = Field(min_length=1, description="One for each field of a transaction")
    outputs: list[Output] | None = Field(default=None, description="All where none is named")


class Tensor(BaseModel):
    """One output."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferReply(BaseModel):
    """The scores, in the order of the transactions."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[Tensor]


_REQUEST = TypeAdapter(InferRequest)


def read(body: bytes) -> InferRequest:
    """A request.

    Raises:
        Refused: it is not as the protocol says.
    """
    try:
        request = _REQUEST.validate_json(body)
    except ValidationError as error:
        raise refused(error, {}) from None
    if request.id is not None and contains_card_number(request.id):
        raise _wrong("id", "looks like a card number")
    for output in request.outputs or ():
        if output.name not in OUTPUTS:
            raise _wrong("outputs", f"expected names among {', '.join(OUTPUTS)}")
    return request


def transactions(request: InferRequest) -> bytes:
    """The body of a batch that says the same.

    Raises:
        Refused: a tensor is not as it says, or not as long as the others.
    """
    columns: dict[str, Sequence[Any]] = {}
    for one in request.inputs:
        name = name_or_withheld(one.name)
        if one.name in columns:
            raise _wrong(name, "appears twice")
        columns[one.name] = _values(one, name)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise _wrong("inputs", "not all tensors are of one length")
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return to_json({"transactions": rows})


def outputs(request: InferRequest, replies: Sequence[bytes]) -> list[Tensor]:
    """What is asked for, of the replies to its transactions."""
    wanted = [output.name for output in request.outputs or ()] or list(OUTPUTS)
    told: list[Mapping[str, Any]] = [from_json(reply) for reply in replies]
    return [
        Tensor(name=name, datatype=OUTPUTS[name], shape=[len(told)], data=[one[name] for one in told])
        for name in wanted
    ]


def _values(one: Input, name: str) -> list[Any]:
    """The values of a tensor, flat."""
    rows = one.shape[0]
    if one.shape[1:] not in ([], [1]):
        raise _wrong(name, "shape: expected [n] or [n, 1]")
    flat = list(_flat(one.data))
    if len(flat) != rows:
        raise _wrong(name, "data: not as many values as the shape says")
    kinds = _kinds(one.datatype)
    if not kinds:
        raise _wrong(name, "datatype: expected BYTES, BOOL, FP64, FP32, INT64 or another number")
    if any(value is not None and type(value) not in kinds for value in flat):
        raise _wrong(name, "data: a value is not of the datatype")
    if any(isinstance(value, float) and not math.isfinite(value) for value in flat):
        raise _wrong(name, "data: a value is not finite")
    return flat


def _kinds(datatype: str) -> tuple[type, ...]:
    if datatype in ("FP64", "FP32", "FP16"):
        return float, int
    if datatype in _INTEGERS:
        return (int,)
    return {"BOOL": (bool,), "BYTES": (str,)}.get(datatype, ())


def _flat(data: list[Any]) -> Iterator[Any]:
    for value in data:
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _wrong(field: str, message: str) -> Refused:
    return Refused(KIND, f"{field}: {message}", [FieldProblem(field=field, message=message)])
