"""A connection as an answer sees it: takes bytes, and closes without taking from the client what was sent to it."""

from __future__ import annotations

import socket
import struct
from asyncio import Transport
from collections.abc import Callable

#: ``close()`` of the socket then tells the client that something went wrong (RST), not that this is the end (FIN).
_BREAK = struct.pack("ii", 1, 0)


class Line:
    """What uvicorn's cycle asks of a transport.

    Args:
        transport: of the connection.
        close: called in place of its ``close``.

    Attributes:
        written: bytes so far.
    """

    def __init__(self, transport: Transport, close: Callable[[], None]) -> None:
        self.written = 0
        self._transport = transport
        self._write = transport.write
        self.close = close
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Send, in the background."""
        self.written += len(data)
        self._write(data)

    @property
    def waiting(self) -> int:
        """Bytes that the client's machine has not taken yet."""
        return self._transport.get_write_buffer_size()

    def reset(self) -> None:
        """Break the connection so that the client sees it."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        self._transport.abort()
