"""One request and its answer on a connection: uvicorn's, with an end that every client can tell."""

from __future__ import annotations

import sys
from typing import Any

from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPResponseStartEvent
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

#: Statuses that have no body.
_EMPTY = (204, 304)


class Cycle(RequestResponseCycle):
    """Answers an HTTP/1.0 client without chunks: the end of the connection is the end of the body. Tells a client whose
    body will not be read to the end that the connection closes.

    Args:
        linger_bytes: of a body, read and thrown away after the answer so that the connection can serve on.
        options: as of uvicorn's.
    """

    def __init__(self, linger_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._linger_bytes = linger_bytes
        self._ends_with_connection = False

    @property
    def broken_off(self) -> bool:
        """Whether the client would take what it has for the whole answer if the connection closed now."""
        return self._ends_with_connection and not self.response_complete

    def answer(self, head: bytes, body: bytes) -> None:
        """Send an answer that is ready, without an application: to a request that is whole.

        Args:
            head: the status line and the headers but those of every answer, each with its line's end.
        """
        self.response_started = self.response_complete = True
        lines = b"".join(b"%b: %b\r\n" % header for header in self.default_headers)
        close = b"" if self.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%b%b\r\n%b" % (head, lines, close, body))
        self.body.clear()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Answer; nothing of the body is kept after that."""
        await super().run_asgi(app)
        self.body.clear()

    async def send(self, message: ASGISendEvent) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start" and not self.response_started:
            self._begin(message)
        elif message["type"] == "http.response.body" and self._ends_with_connection:
            self.expected_content_length = len(message.get("body", b""))  # whatever comes, it is as long as expected
        await super().send(message)

    def _begin(self, message: HTTPResponseStartEvent) -> None:
        length = self.body_bytes
        if self.more_body and (self.waiting_for_100_continue or length is None or length > self._linger_bytes):
            self.keep_alive = False
        has_length = any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))
        has_body = self.scope["method"] != "HEAD" and message["status"] not in _EMPTY
        if self.scope["http_version"] == "1.0" and has_body and not has_length:
            self._ends_with_connection = True
            self.chunked_encoding = False

    @property
    def body_bytes(self) -> int | None:
        """Bytes of the body, as its head says; None where it does not."""
        for name, value in self.scope["headers"]:
            if name == b"content-length":
                return int(value) if len(value) < 16 else sys.maxsize
        return None
