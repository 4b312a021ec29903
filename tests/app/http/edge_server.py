"""A server behind the edge, with an application that does what a test asks for, and clients that speak in bytes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import Receive, Scope, Send

from app.http.edge import Edge
from app.http.limits import Limits

#: What Java's HTTP client offers by default.
H2C = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)


class Application:
    """Answers by path.

    Attributes:
        called: paths, in order.
        gone: set once an application that waits for its client hears that it is gone.
        go: ``/hold``, and ``/v1/score/hold``, answer once it is set.
        sent: bytes that ``/endless`` has sent.
    """

    def __init__(self) -> None:
        self.called: list[str] = []
        self.gone = threading.Event()
        self.go = threading.Event()
        self.sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.called.append(path)
        if path == "/refuse":
            await answer(send, 413, b"no")
        elif path == "/endless":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while not await self._left(receive):
                self.sent += 1 << 16
                await send({"type": "http.response.body", "body": bytes(1 << 16), "more_body": True})
        elif path in ("/stream", "/break"):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for piece in (b"one,", b"two,", b""):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if path == "/stream":
                await send({"type": "http.response.body", "body": b"three"})
        elif path in ("/hold", "/v1/score/hold"):
            while not self.go.is_set():
                await asyncio.sleep(0.001)
            await answer(send, 200, b"held")
        elif path == "/headers":
            await answer(send, 200, json.dumps([[n.decode(), v.decode()] for n, v in scope["headers"]]).encode())
        else:
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    self.gone.set()
                    return
                body, more = body + message["body"], message.get("more_body", False)
            await answer(send, 200, f"{scope['method']} {path} ".encode() + body)

    async def _left(self, receive: Receive) -> bool:
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        if not waiting.done():
            waiting.cancel()
            return False
        left = bool(waiting.result()["type"] == "http.disconnect")
        if left:
            self.gone.set()
        return left


async def answer(send: Send, status: int, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


class Served:
    """A server that runs."""

    def __init__(self, port: int, app: Application, edge: Edge) -> None:
        self.port, self.app, self.edge = port, app, edge

    def connect(self, receive_buffer: int = 0) -> socket.socket:
        """A client; ``receive_buffer``: bytes that its machine keeps for it."""
        client = socket.socket()
        client.settimeout(30)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, *parts: bytes) -> bytes:
        """Send it all, then read until the end."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return rest(client)


@contextmanager
def serving(limits: Limits | None = None, keep_alive: float = 30) -> Iterator[Served]:
    """A server of the :class:`Application`."""
    app, edge = Application(), Edge(limits or Limits())
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(
        app,
        http=cast("type[asyncio.Protocol]", edge),
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_keep_alive=cast(int, keep_alive),
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Served(listener.getsockname()[1], app, edge)
    finally:
        app.go.set()
        server.should_exit = True
        thread.join()


def rest(client: socket.socket) -> bytes:
    """What comes until the server closes."""
    received = b""
    while data := client.recv(1 << 16):
        received += data
    return received


def one(client: socket.socket) -> tuple[bytes, bytes]:
    """The head and the body of the next answer, which says how long it is."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = client.recv(1)
        assert data, received
        received += data
    length = int(received.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = b""
    while len(body) < length:
        data = client.recv(length - len(body))
        assert data, body
        body += data
    return received, body


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
