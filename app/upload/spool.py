"""Bytes on their way from a writer to a reader that may be slower, in an unlinked temporary file.

Most HTTP clients send the whole request before they read any of the response. If the service stopped reading while
such a client does not take the result, both would wait forever; if it kept the result in memory, memory would
grow with the upload. So what the client has not taken yet waits on disk.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from types import TracebackType

from anyio.to_thread import run_sync

_PIECE = 256 << 10


class Spool:
    """A queue of bytes. ``async with`` removes the file; the file is emptied whenever the reader has caught up."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __aexit__
        self._written = 0
        self._read = 0
        self._finished = False
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Spool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    async def put(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            OSError: the disk is full.
        """
        async with self._lock:
            await run_sync(self._append, data)
        self._changed.set()

    def finish(self) -> None:
        """Nothing more will come."""
        self._finished = True
        self._changed.set()

    async def get(self) -> bytes:
        """The next bytes, as soon as there are any; empty after the last."""
        while self._read == self._written:
            if self._finished:
                return b""
            self._changed.clear()
            await self._changed.wait()
        async with self._lock:
            return await run_sync(self._take)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            count = os.pwrite(self._file.fileno(), view, self._written)
            self._written += count
            view = view[count:]

    def _take(self) -> bytes:
        data = os.pread(self._file.fileno(), _PIECE, self._read)
        self._read += len(data)
        if self._read == self._written:
            os.ftruncate(self._file.fileno(), 0)
            self._read = self._written = 0
        return data
