"""A connection that breaks when a test wants it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Proxy:
    """Passes bytes on to a server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        cut: when a client has sent these bytes and the server has answered, the connection breaks before the answer
            arrives. Once.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._open: list[socket.socket] = []
        self.cut: bytes | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._serve()

    def stop(self) -> None:
        """As a server that is stopped: connections break and are refused."""
        _close(self._listener)
        while self._open:
            _close(self._open.pop())

    def start(self) -> None:
        """As a server that is started again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._serve()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _serve(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            doomed = threading.Event()
            threading.Thread(target=self._pass_on, args=(client, server, doomed, True), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(server, client, doomed, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, doomed: threading.Event, asks: bool) -> None:
        try:
            while data := source.recv(1 << 20):
                if asks and self.cut is not None and self.cut in data:
                    self.cut = None
                    doomed.set()
                if not asks and doomed.is_set():
                    break
                sink.sendall(data)
        except OSError:
            pass
        _close(source)
        _close(sink)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
