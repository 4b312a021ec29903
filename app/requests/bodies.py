"""What every scoring route asks of a request before it looks inside: media type, size, query."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.requests import ClientDisconnect, Request

from app.problems import Refused, name_or_withheld
from app.refusals import FieldProblem
from app.requests.arrival import ScoreOptions
from app.requests.idempotency import Key, idempotency_key
from app.settings import MAX_REASONS

_DIGITS = re.compile(r"[0-9]{1,18}")
_REASONS = re.compile(r"[0-9]{1,2}")
#: What batch scoring goes on from: the service's states, the model's snapshot, or nothing.
STATE_CHOICES = ("live", "snapshot", "empty")


def require_media_type(request: Request, expected: str) -> None:
    """Check that the body is of the media type, in UTF-8, and not compressed.

    Raises:
        Refused: 415.
    """
    sent = request.headers.get("content-type", "").lower()
    if sent != expected:
        kind, _, parameters = sent.partition(";")
        if kind.strip() != expected:
            raise Refused("unsupported-media-type", f"send the header Content-Type: {expected}")
        for parameter in parameters.split(";"):
            name, _, value = parameter.strip().partition("=")
            if name == "charset" and value.strip('"') not in ("utf-8", "utf8", "us-ascii"):
                raise Refused("unsupported-media-type", "send the body in UTF-8")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused("unsupported-media-type", "send the body uncompressed, without Content-Encoding")


async def limited_stream(request: Request, limit: int) -> AsyncIterator[bytes]:
    """The body as it arrives, counted.

    Raises:
        Refused: 413 once it is larger than ``limit`` bytes, or at once where Content-Length says that it will be.
        ClientDisconnect: the client went away.
    """
    declared = request.headers.get("content-length", "")
    if _DIGITS.fullmatch(declared) and int(declared) > limit:
        raise _too_large(limit)
    size = 0
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data = message.get("body", b"")
        more = message.get("more_body", False)
        size += len(data)
        if size > limit:
            raise _too_large(limit)
        yield data


async def read_scoring(request: Request, default: ScoreOptions, limit: int) -> tuple[ScoreOptions, Key | None, bytes]:
    """How transactions that are sent as JSON are to be answered, the Idempotency-Key, and the body.

    Raises:
        Refused: 422, 415 or 413.
    """
    options = score_options(request, default)
    key = idempotency_key(request)
    require_media_type(request, "application/json")
    return options, key, await read_body(request, limit)


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, of at most ``limit`` bytes.

    Raises:
        Refused: 413.
    """
    return b"".join([data async for data in limited_stream(request, limit)])


def score_options(
    request: Request, default: ScoreOptions, known: tuple[str, ...] = ("reasons", "verify")
) -> ScoreOptions:
    """The query's ``reasons``, ``verify`` and ``state``, the only parameters there are.

    Args:
        default: without a query.
        known: parameters the route takes.

    Raises:
        Refused: 422.
    """
    query: bytes = request.scope["query_string"]
    if not query:
        return default
    values: dict[str, int | bool | str] = {}
    for part in query.decode("latin-1").split("&"):
        name, _, text = part.partition("=")
        if name not in known:
            expected = f"expected {' or '.join(known)}" if known else "the route takes none"
            raise _bad_query(name_or_withheld(name), f"unknown parameter; {expected}")
        if name in values:
            raise _bad_query(name, "appears twice")
        if name == "reasons":
            if not (_REASONS.fullmatch(text) and int(text) <= MAX_REASONS):
                raise _bad_query(name, f"expected a whole number from 0 to {MAX_REASONS}")
            values[name] = int(text)
        elif name == "state":
            if text not in STATE_CHOICES:
                raise _bad_query(name, f"expected one of {', '.join(STATE_CHOICES)}")
            values[name] = text
        else:
            if text not in ("true", "false"):
                raise _bad_query(name, "expected true or false")
            values[name] = text == "true"
    return ScoreOptions(
        int(values.get("reasons", default.reasons)),
        bool(values.get("verify", default.verify)),
        str(values.get("state", default.state)),
    )


def _too_large(limit: int) -> Refused:
    return Refused("too-large", f"the body is larger than {limit:,} bytes")


def _bad_query(field: str, message: str) -> Refused:
    return Refused("invalid-query", "the query is not as expected", [FieldProblem(field=field, message=message)])
