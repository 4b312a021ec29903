"""One connection: uvicorn's protocol, made to serve every client that keeps to HTTP and to bear every other one.

Beyond uvicorn's: an offer to switch protocols is ignored and the body read; only a head that is whole, of bounded size
and clear in its framing starts a request, and a short body must be whole, too; trailers are no headers; a client that
closed its sending side still gets its answers; where the rest of a body is not wanted it is read and thrown away, so
that the answer arrives; and :mod:`app.http.edge` hears of everything it measures.

Longer than other modules: what happens on a connection is one state that the loop, the parser and the answers change.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.admission import Refusal
from app.http.cycle import Cycle
from app.http.line import Line
from app.http.overseer import Overseer
from app.http.plain import asks_for_scores
from app.http.refusal import BadRequest, refusal

_VERSIONS = ("1.1", "1.0")
#: Bytes of an answer; smaller ones are not watched.
_LARGE = 64 << 10
_UNREADABLE = "what was sent is no request that can be read"
_TOO_LONG = "the request's head, or what is between pieces of its body, is too long"


class Stage(Enum):
    """What the next byte from the client belongs to."""

    BETWEEN = "between two requests"
    HEAD = "a head"
    BODY = "a body"


class _Ignored(list[tuple[bytes, bytes]]):
    """Where trailers go: taken for headers they would pass by whoever checked those."""

    def append(self, _header: tuple[bytes, bytes]) -> None:
        """Keep nothing."""


_TRAILERS = _Ignored()


class Connection(HttpToolsProtocol):
    """A connection.

    Args:
        edge: what all connections of the process share.
        config, server_state, app_state, loop: as uvicorn gives them.

    Attributes:
        stage: of what is being read.
        received: bytes so far.
        running: the request that is being answered, or the last that was.
        lingering: whether all that was to be sent is sent, and the rest of what arrives thrown away.
    """

    cycle: Cycle

    def __init__(
        self,
        edge: Overseer[Connection],
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, loop)
        self._edge = edge
        self.stage = Stage.BETWEEN
        self.received = 0
        self.running: RequestResponseCycle | None = None
        self._previous: Cycle | None = None  # the request before the one that is being read
        self._waits = False  # whether that one begins once its body is whole
        self._written = 0  # when the running answer began
        self.lingering = False
        self.line: Line
        self._entered = False
        self._first = b""  # what waits to be read
        self._taken = False  # whether what waits to be read is let in
        self._came = 0.0  # when what is being read came; uvloop's time is that of when it last looked for what has come
        self._deaf = False  # no further request is read
        self._linger_until = 0
        self._feeding = 0  # bytes that the parser was given last
        self._advanced = False  # whether they began a request, or brought something of a body
        self._framing = 0  # bytes since some that did

    # What uvicorn's loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(cast(asyncio.Transport, transport))
        self.line = Line(self.transport, self.finish)
        self._edge.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: who waits for its client is told."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        if self.running is not None and not self.running.response_complete:
            self.running.disconnected = True
            self.running.message_event.set()
        # Circles are broken here, so that the objects are freed at once: collecting those of thousands of connections
        # would make everyone else wait.
        self.pipeline.clear()
        self._previous = self.cycle = None  # type: ignore[assignment]
        self.line.close = self.transport.close
        self._edge.closed(self)

    def data_received(self, data: bytes) -> None:
        """Read what the client sent: at once, but for its first bytes, and in a crowd each request, in their turn."""
        self._came = self._came or self.loop.time()
        begins = not (self._first or self.answering or self._deaf or self.lingering) and self.stage is Stage.BETWEEN
        if begins and self._refused(data):
            return
        if self._entered:
            if not begins or not self._edge.crowded:
                self._read(data)
                return
            self._unset_keepalive_if_required()
        self._first += data
        self.flow.pause_reading()
        if self._entered:
            self._edge.heard(self)
        self._edge.enters(self)

    def enter(self) -> None:
        """Read what has waited for that, and from now on all that comes."""
        if self.transport.is_closing():
            return
        self._entered = True
        self.flow.resume_reading()
        self._read(self._first)
        self._first, self._taken = b"", False

    def _read(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self.received += len(data)
        if self.lingering:
            if self.received > self._linger_until:
                self.transport.abort()
            return
        if self._deaf:
            return
        self._feeding, self._advanced = len(data), False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            found = error.__context__
            if not self._deaf:
                if not isinstance(found, BadRequest):
                    known = not isinstance(error, httptools.HttpParserCallbackError)
                    found = BadRequest(f"{_UNREADABLE}: {error}" if known else _UNREADABLE)
                self._edge.told.closed(found.kind, self.loop.time())
                self.refuse(found.kind, str(found))
            return
        self._came = 0.0
        self._framing = 0 if self._advanced else self._framing + len(data)
        if self._framing > self._edge.limits.head_bytes:
            self._edge.told.closed("head-too-large", self.loop.time())
            self.refuse("head-too-large", _TOO_LONG)
            return
        self._edge.heard(self)

    def _refused(self, data: bytes) -> bool:
        """Whether it is a request that is refused whatever it holds; then it is answered, and was not parsed."""
        answers = self._edge.refused(time.monotonic() - self._came)
        self._taken = answers is None
        if answers is None or not asks_for_scores(data):
            return False
        self._unset_keepalive_if_required()
        self.received += len(data)
        head, body = answers().parts()
        lines = b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)
        self.line.write(b"%b%b\r\n%b" % (head, lines, body))
        self.server_state.total_requests += 1
        self._came, self._framing = 0.0, 0
        self._rest()
        self._edge.heard(self)
        return True

    def eof_received(self) -> bool:  # type: ignore[override] # asyncio's own type
        """The client sends no more; it may still read. What it asked for whole is answered."""
        unfinished = self.cycle if self.stage is Stage.BODY else None
        if self.lingering or not self.answering or self.running is unfinished:
            return False
        self._end_after_answers(unfinished)
        return True

    def pause_writing(self) -> None:
        """The client takes answers more slowly than they are made."""
        super().pause_writing()
        self._edge.blocked(self)

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.stage = Stage.HEAD
        self._advanced = True

    def on_headers_complete(self) -> None:
        """The head is whole: check it and answer the request, after those before it."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadRequest("CONNECT is for proxies, and this is none")
            return  # read again without the offer
        version = self.parser.get_http_version()
        self._check(version)
        if len(self.pipeline) >= self._edge.limits.pipelined:
            # Those before are answered; that the connection then closes says that this one was not.
            self._end_after_answers(None)
            raise BadRequest("too many requests read ahead")
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        self.scope.update(
            {
                "method": self.parser.get_method().decode("ascii"),
                "http_version": version,
                "path": self.root_path + (unquote(path) if "%" in path else path),
                "raw_path": self.root_path.encode("ascii") + url.path,
                "query_string": url.query or b"",
            }
        )
        self._previous = cast("Cycle | None", self.cycle)
        self.cycle = Cycle(
            self._edge.limits.linger_bytes,
            scope=self.scope,
            transport=self.line,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        self.headers = _TRAILERS
        self.stage = Stage.BODY
        length = self.cycle.body_bytes
        self._waits = length is not None and length <= self._edge.limits.whole_bytes and not self.expect_100_continue
        if not self._waits:
            self._answer()

    def _answer(self) -> None:
        """Have the request answered, after those before it."""
        if self._previous is None or self._previous.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        self._advanced = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self.parser.should_upgrade():
            return
        self.stage = Stage.BETWEEN
        super().on_message_complete()
        if self._waits:
            self._answer()
        elif self.cycle.response_complete:  # long ago: this was the rest of its body
            self._rest()

    # What answers call.

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.running = cycle
        self._written = self.line.written
        waited = time.monotonic() - self._came if self._came else 0.0
        whole = not cycle.more_body
        taken, self._taken = self._taken and bool(self._first), False
        answers = self._edge.let_in(cycle.scope["path"], app, waited, whole, taken)
        if whole and isinstance(answers, Refusal) and cycle.scope["method"] != "HEAD":
            cast(Cycle, cycle).answer(*answers.parts())
        else:
            super()._start_asgi_task(cycle, cast(ASGI3Application, answers))

    def on_response_complete(self) -> None:
        """An answer is sent: answer the next request, or wait for one."""
        if self.lingering:
            self.server_state.total_requests += 1
            return
        if self.line.written - self._written > _LARGE:
            self._edge.blocked(self)  # the system may hold more of it than the client has read
        super().on_response_complete()
        if self.resting and self.stage is Stage.BETWEEN:
            self._edge.rests(self)

    def finish(self) -> None:
        """Close once the client has what was sent to it: at once, it would lose that where it is still sending."""
        if self.transport.is_closing():
            return
        if isinstance(self.running, Cycle) and self.running.broken_off:
            self.line.reset()
        elif self.stage is Stage.BETWEEN and not self.flow.read_paused and not self._deaf:
            self.transport.close()
        else:
            self._unset_keepalive_if_required()
            self.lingering = True
            self._linger_until = self.received + self._edge.limits.linger_bytes
            self.transport.write_eof()
            self.flow.resume_reading()
            self._edge.lingers(self)

    # What the edge asks and does.

    @property
    def answering(self) -> bool:
        """Whether a request is being answered."""
        return self.running is not None and not self.running.response_complete

    @property
    def busy(self) -> bool:
        """Whether it is the service's turn: a request is being answered, or the first bytes of one wait to be read."""
        return self.answering or bool(self._first)

    @property
    def resting(self) -> bool:
        """Whether everything is answered and nothing of another request has come."""
        return self.timeout_keep_alive_task is not None

    @property
    def owed(self) -> bool:
        """Whether it is the client's turn: to send, or to read."""
        sends = self.stage is Stage.BODY and not self.flow.read_paused
        return self.lingering or sends or self.line.waiting > 0

    @property
    def moved(self) -> int:
        """Bytes that the client has sent and taken."""
        return self.received + self.line.written - self.line.waiting

    def refuse(self, kind: str, detail: str, *, linger: bool = True) -> None:
        """Answer a request that cannot be read, after those before it, and close.

        Args:
            kind: of the problem.
            linger: whether more of it is likely to be on its way.
        """
        broken = self.cycle if self.stage is Stage.BODY else None
        if broken is not None and broken is self.running and broken.response_started:
            self.line.reset()
            return
        self._end_after_answers(broken)
        if self.answering and self.running is not broken:
            return
        if broken is not None:
            broken.disconnected = True
            broken.message_event.set()
        self.line.write(refusal(kind, detail, self.server_state.default_headers))
        if linger:
            self.finish()
        else:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for long: close; what the client did not take until now it will not take."""
        if self.line.waiting:
            self.line.reset()
        else:
            super().timeout_keep_alive_handler()

    def _end_after_answers(self, unfinished: Cycle | None) -> None:
        """Read no further request, and close once those before are answered; ``unfinished`` is not among them."""
        self._deaf = True
        if unfinished is not None and (unfinished, self.app) in self.pipeline:
            self.pipeline.remove((unfinished, self.app))
        last = self.pipeline[0][0] if self.pipeline else self.running
        if last is not None and last is not unfinished:
            last.keep_alive = False
        self._edge.heard(self)

    def _rest(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def _check(self, version: str) -> None:
        """Refuse a head that is too long, or whose body another server on the way could see end elsewhere."""
        if version not in _VERSIONS:
            raise BadRequest("send HTTP/1.1 or HTTP/1.0")
        limit = self._edge.limits.head_bytes
        if self._feeding + self._framing > limit:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > limit:
                raise BadRequest(_TOO_LONG, "head-too-large")
        for name, value in self.headers:
            if name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                raise BadRequest("send the body with Content-Length, or with HTTP/1.1 and Transfer-Encoding: chunked")

    def _feed(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                # The parser takes what follows for another protocol's, but it is the body.
                data = data[offer.args[0] :]
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self.parser.feed_data(head)
            else:
                return

    def _head_without_offer(self) -> bytes:
        lines = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        return b"%b %b HTTP/%b\r\n%b\r\n" % (self.parser.get_method(), self.url, version, b"".join(lines))
