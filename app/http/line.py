"""A connection as an answer sees it: takes bytes, and closes without taking from the client what was sent to it."""

from __future__ import annotations

import socket
import struct
import sys
from asyncio import Transport
from collections.abc import Callable

#: ``close()`` of the socket then tells the client that something went wrong (RST), not that this is the end (FIN).
_BREAK = struct.pack("ii", 1, 0)
#: Bytes that the system takes for a client before it can send them, so that it holds no megabytes for one that reads
#: nothing.
_AHEAD = 128 << 10


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
        self.close = close
        self._socket = transport.get_extra_info("socket")
        if sys.platform == "linux" and self._is_tcp:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _AHEAD)

    def write(self, data: bytes) -> None:
        """Send, in the background."""
        self.written += len(data)
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._transport.is_closing()

    @property
    def waiting(self) -> int:
        """Bytes that the client's machine has not taken yet."""
        return self._transport.get_write_buffer_size() + self._held()

    def reset(self) -> None:
        """Break the connection so that the client sees it."""
        if self._is_tcp and not self._gone():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _BREAK)
        self._transport.abort()

    @property
    def _is_tcp(self) -> bool:
        return self._socket is not None and self._socket.family in (socket.AF_INET, socket.AF_INET6)

    def _gone(self) -> bool:
        return bool(self._socket.fileno() < 0)

    def _held(self) -> int:
        """Bytes that this machine's system holds for the client."""
        if sys.platform != "linux" or not self._is_tcp or self._gone():
            return 0
        import fcntl  # noqa: PLC0415 - Unix alone has them
        import termios  # noqa: PLC0415

        try:
            return int.from_bytes(fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return 0
