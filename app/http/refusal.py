"""What the edge itself answers, where no route is reached: a problem like any other, as bytes."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app import problems
from app.request_id import HEADER
from app.security_headers import security_headers


class BadRequest(Exception):
    """What arrived is no request of HTTP/1.1 that can be answered.

    Args:
        detail: what is wrong, without values of the caller.
        kind: of the problem.
    """

    def __init__(self, detail: str, kind: str = "bad-request") -> None:
        super().__init__(detail)
        self.kind = kind


def refusal(kind: str, detail: str, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An answer after which the connection is closed.

    Args:
        headers: of every answer, such as the date.
    """
    request_id = secrets.token_hex(12)
    response = problems.response(problems.Refused(kind, detail), request_id)
    told = [*headers, *response.raw_headers, (HEADER, request_id.encode()), *security_headers("")]
    lines = b"".join(b"%b: %b\r\n" % header for header in told)
    return b"%b%bconnection: close\r\n\r\n%b" % (STATUS_LINE[response.status_code], lines, bytes(response.body))
