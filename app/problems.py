"""Errors to HTTP: the one place that decides what a caller is told, as RFC 9457 problem+json.

No problem repeats a value the caller sent: it names the field and what was expected there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.access.keys import KEY_SHAPE
from app.refusals import Conflict, FieldProblem, Refusal
from app.store.errors import StoreUnavailable
from models.errors import InvalidInput
from models.pan import contains_card_number

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:counterfoil:problem:"
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}", re.ASCII)
#: Fields listed in one problem.
_MAX_LISTED = 50
_RETRY_SECONDS = "1"
#: Not what failed: that names the store's place, and /readyz is open to everyone.
_STORE_FAILS = (
    "the store cannot be read or written now, the service's log says why; nothing was recorded, send it again"
)
#: Pydantic's name of each container type error, and what we say.
_NOT_AN_OBJECT = ("dict_type", "model_type", "model_attributes_type", "dataclass_type")


class Problem(BaseModel):
    """An error (RFC 9457). The same shape for every error of the API."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="Stable name of the kind of problem", examples=[_TYPE + "invalid-transaction"])
    title: str = Field(description="The kind of problem in words", examples=["Invalid transaction"])
    status: int = Field(description="HTTP status", examples=[422])
    detail: str = Field(description="What failed in this request", examples=["1 field is not as expected"])
    errors: tuple[FieldProblem, ...] = Field(description="The fields at fault, if any")
    request_id: str = Field(description="As in the X-Request-ID header; quote it when you report a problem")


class Refused(Refusal):
    """A request that the service does not carry out.

    Args:
        kind: a key of :data:`KINDS`.
        detail: what failed, without values of the caller.
        errors: the fields at fault.
        headers: to send with the problem.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        errors: Iterable[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, errors)
        self.kind = kind
        self.headers = headers


#: Kind of problem -> HTTP status and title.
KINDS = {
    "bad-request": (400, "Bad request"),
    "invalid-json": (400, "Invalid JSON"),
    "invalid-transaction": (422, "Invalid transaction"),
    "invalid-query": (422, "Invalid query parameter"),
    "invalid-csv": (422, "Invalid CSV"),
    "invalid-header": (422, "Invalid header"),
    "too-large": (413, "Body too large"),
    "unsupported-media-type": (415, "Unsupported media type"),
    "conflict": (409, "Conflict"),
    "not-found": (404, "Not found"),
    "invalid-label": (422, "Invalid label"),
    "invalid-list": (422, "Invalid list"),
    "unauthorized": (401, "Unauthorized"),
    "forbidden": (403, "Forbidden"),
    "rate-limited": (429, "Rate limited"),
    "invalid-purge": (422, "Invalid purge"),
    "invalid-activation": (422, "Invalid activation"),
    "request-timeout": (408, "Request timeout"),
    "head-too-large": (431, "Request head too large"),
    "not-ready": (503, "Not ready"),
    "no-room": (503, "No room"),
    "overloaded": (503, "Overloaded"),
    "store-unavailable": (503, "Store unavailable"),
    "internal-error": (500, "Internal error"),
}


def problem(error: Exception, request_id: str) -> Problem:
    """Any exception as what its caller may know of it."""
    match error:
        case Refusal():
            kind = _kind(error)
            status, title = KINDS[kind]
            return _problem(kind, status, title, str(error), error.errors, request_id)
        case StoreUnavailable():
            return problem(Refused("store-unavailable", _STORE_FAILS), request_id)
        case InvalidInput():
            return problem(Refused("invalid-csv", str(error)), request_id)
        case HTTPException():
            title = HTTPStatus(error.status_code).phrase
            kind = title.lower().replace(" ", "-")
            detail = _HTTP_DETAILS.get(error.status_code, title)
            return _problem(kind, error.status_code, title, detail, (), request_id)
        case _:
            detail = "The service failed; it is not your request's fault. Quote the request id to its operator"
            return problem(Refused("internal-error", detail), request_id)


def _kind(error: Refusal) -> str:
    if isinstance(error, Refused):
        return error.kind
    return "conflict" if isinstance(error, Conflict) else "invalid-transaction"


_HTTP_DETAILS = {
    404: "No such path; /docs lists those there are",
    405: "The path does not take this method; the Allow header lists those it takes",
}


def response(error: Exception, request_id: str, *, told_twice: bool = False) -> Response:
    """The problem of an exception as a response.

    Args:
        told_twice: whether ``error`` says the detail, too, which is all that the Open Inference Protocol knows.
    """
    body = problem(error, request_id)
    headers: Mapping[str, str] | None = error.headers if isinstance(error, HTTPException | Refused) else None
    if body.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": _RETRY_SECONDS}
    content = to_json({**body.model_dump(), "error": body.detail}) if told_twice else body.model_dump_json()
    return Response(content, body.status, headers, MEDIA_TYPE)


def _problem(
    kind: str, status: int, title: str, detail: str, errors: tuple[FieldProblem, ...], request_id: str
) -> Problem:
    return Problem(type=_TYPE + kind, title=title, status=status, detail=detail, errors=errors, request_id=request_id)


def is_json_error(error: ValidationError) -> bool:
    """Whether the body was not JSON at all."""
    return (
        error.error_count() == 1 and error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"
    )


def refused(error: ValidationError | None, more: Mapping[str, str], kind: str = "invalid-transaction") -> Refused:
    """A failed validation, and what else is wrong by field, as a refusal."""
    found = error.errors(include_url=False, include_input=False) if error else []
    if found and found[0]["type"] == "json_invalid":
        return Refused("invalid-json", f"the body is not valid JSON: {found[0]['ctx']['error']}")
    # A field with a fast and an exact check reports both: the exact one comes last and says more.
    fields = {str(detail["loc"][0]) if detail["loc"] else "": _message(detail) for detail in found} | dict(more)
    count = f"{len(fields)} field{' is' if len(fields) == 1 else 's are'} not as expected"
    listed = list(fields.items())[:_MAX_LISTED]
    if len(fields) > len(listed):
        count += f"; the first {len(listed)} are listed"
    return Refused(kind, count, [FieldProblem(field=f, message=m) for f, m in listed])


def name_or_withheld(name: str) -> str:
    """A caller's name of a field, or "(withheld)" where it could be more than a name."""
    secret = contains_card_number(name) or KEY_SHAPE.search(name)
    return name if _PLAIN_NAME.fullmatch(name) and not secret else "(withheld)"


def _message(detail: ErrorDetails) -> str:
    match detail["type"]:
        case kind if kind in _NOT_AN_OBJECT:
            return "expected a JSON object"
        case "list_type":
            return "expected a JSON array of transactions"
        case "too_long":
            return f"more than {detail['ctx']['max_length']:,} transactions, the most of one request"
        case "missing":
            return "missing field"
        case _:
            return detail["msg"]
