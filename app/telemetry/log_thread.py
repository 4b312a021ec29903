"""A log handler that keeps whoever logs from waiting: a thread of its own formats and writes, many lines at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from contextlib import suppress
from typing import TextIO

#: Seconds that a line may wait for others to be written with it. Warnings and errors go at once.
_GATHER = 0.05
#: Lines that may wait for a reader that has stopped reading; beyond, lines are lost, and how many is said.
MOST_WAITING = 100_000


class ThreadedHandler(logging.Handler):
    """Writes records to a stream, in order. To log is to append to a queue.

    Args:
        stream: where to; it may block.
        most_waiting: records kept while it does.
    """

    def __init__(self, stream: TextIO, most_waiting: int = MOST_WAITING) -> None:
        super().__init__()
        self._stream, self._most = stream, most_waiting
        self._waiting: deque[logging.LogRecord] = deque()
        self._lost = 0
        self._something, self._urgent = threading.Event(), threading.Event()
        self._writing = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, and return at once. The base class's lock is held."""
        if len(self._waiting) >= self._most:
            self._lost += 1
            return
        self._waiting.append(record)
        if record.levelno >= logging.WARNING:
            self._urgent.set()
        if not self._something.is_set():
            self._something.set()

    def flush(self) -> None:
        """Write what waits, in this thread. At the end of the process :mod:`logging` asks for it."""
        with self._writing:
            lines = []
            while self._waiting:
                record = self._waiting.popleft()
                try:
                    lines.append(self.format(record))
                except Exception:  # noqa: BLE001 - a record that cannot be formatted must not end the thread
                    self.handleError(record)
            if self._lost:
                lost, self._lost = self._lost, 0
                record = logging.makeLogRecord(
                    {"name": "counterfoil", "levelno": logging.WARNING, "levelname": "WARNING",
                     "msg": f"{lost:,} log lines lost: standard error takes them too slowly"}
                )  # fmt: skip
                lines.append(self.format(record))
            if lines:
                with suppress(OSError, ValueError):  # a closed stream: nobody reads, nothing is left to be told
                    self._stream.write("\n".join(lines) + "\n")
                    self._stream.flush()

    def close(self) -> None:
        """End the thread, once everything is written."""
        if not self._ended:
            self._ended = True
            self._urgent.set()
            self._something.set()
            self._thread.join()
        super().close()

    def _run(self) -> None:
        while not self._ended:
            self._something.wait()
            self._urgent.wait(_GATHER)
            self._urgent.clear()
            self._something.clear()
            self.flush()
