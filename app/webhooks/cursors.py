"""How far each endpoint has come in the log, in an SQLite file: the log's store is read and never written.

It holds places in the log, and nothing of a transaction. After a crash the last few alerts may be sent again, under
the same id.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.file_claim import claim
from models.errors import CounterfoilError, InvalidInput

_HELD = "how far webhooks have come"
_TABLE = "CREATE TABLE IF NOT EXISTS cursors (endpoint TEXT PRIMARY KEY, cursor TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Open:
    """An alert that was read and is not delivered.

    Attributes:
        seq: its place in the log; ``arrived_at``: microseconds since 1970 UTC.
        attempts: that failed; ``first``: when the first of them was made, ``due``: when the next one is, seconds since
            1970 UTC.
    """

    seq: int
    arrived_at: int
    attempts: int = 0
    first: float = 0.0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where one endpoint stands.

    Attributes:
        settled: everything up to this place was read; ``ahead``: and so was what stands at these places beyond it.
        open: alerts among all that which are not delivered.
        delivered, given_up: alerts so far.
        delivered_at: the last of them, seconds since 1970 UTC; None before it.
        failing: why nothing gets through; "" while something does. ``failing_since``: when that began.
        gone_at: when the endpoint said that it wants no more, None where it did not.
    """

    settled: int
    ahead: tuple[int, ...] = ()
    open: tuple[Open, ...] = ()
    delivered: int = 0
    given_up: int = 0
    delivered_at: float | None = None
    failing: str = ""
    failing_since: float | None = None
    gone_at: float | None = None


_CURSOR = TypeAdapter(Cursor)


class Cursors:
    """One file. Any thread.

    Args:
        writes: go on from here, alone; the file is made if there is none. Else it is only read.

    Raises:
        InvalidInput: it is no such file.
        CounterfoilError: another process sends from it, or it cannot be opened.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._path, self._lock = path, threading.Lock()
        self._claim = claim(path, _HELD, "sends webhooks from") if writes else None
        mode = "rwc" if writes else "ro"
        try:
            self._file = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
            )
            if writes:
                self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("PRAGMA synchronous = NORMAL")  # a power cut may have alerts sent again, not lost
                self._file.execute(_TABLE)
        except sqlite3.OperationalError as error:
            raise CounterfoilError(f"{path}: cannot hold {_HELD}: {error}") from None
        except sqlite3.DatabaseError:
            raise InvalidInput(f"{path}: not a file of webhook cursors; name another, or delete it") from None

    def of(self, endpoint: str) -> Cursor | None:
        """Where an endpoint stands; None of one that was never sent to."""
        try:
            with self._lock:
                row = self._file.execute("SELECT cursor FROM cursors WHERE endpoint = ?", (endpoint,)).fetchone()
        except sqlite3.OperationalError as error:  # it is just being made, or another file
            raise CounterfoilError(f"{self._path}: cannot read {_HELD}: {error}") from None
        if row is None:
            return None
        try:
            return _CURSOR.validate_json(row[0])
        except ValidationError:
            raise InvalidInput(f"{self._path}: the cursor of {endpoint} is damaged; delete the file") from None

    def save(self, endpoint: str, cursor: Cursor) -> None:
        """Replace what is said of an endpoint."""
        with self._lock:
            self._file.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?)", (endpoint, _CURSOR.dump_json(cursor)))

    def close(self) -> None:
        """Release it."""
        self._file.close()
        if self._claim is not None:
            os.close(self._claim)
