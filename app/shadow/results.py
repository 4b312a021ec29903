"""What challengers decided, in an SQLite file of their own: the log's store is read and never written.

It holds places in the log, scores and decisions, and nothing of a transaction.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.file_claim import claim
from models.errors import CounterfoilError, InvalidInput

_HELD = "what is shadowed"
_NOTHING = "nothing is shadowed here: start 'counterfoil shadow VERSION' beside the service"
_TABLES = """
CREATE TABLE IF NOT EXISTS shadowed (
    version TEXT NOT NULL, seq INTEGER NOT NULL, time INTEGER NOT NULL, arrived_at INTEGER NOT NULL,
    model_version TEXT NOT NULL, old_score REAL NOT NULL, old_decision INTEGER NOT NULL,
    score REAL, decision INTEGER, PRIMARY KEY (version, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS progress (version TEXT PRIMARY KEY, settled INTEGER NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Shadowed:
    """One decision of the log, decided again.

    Attributes:
        seq, time, arrived_at, model_version: of the decision in the log.
        old_score, old_decision: as answered; decisions are places in :data:`models.thresholds.DECISIONS`.
        score, decision: the challenger's; None where it cannot decide this one.
    """

    seq: int
    time: int
    arrived_at: int
    model_version: str
    old_score: float
    old_decision: int
    score: float | None
    decision: int | None


@dataclass(frozen=True)
class Columns:
    """Decisions that a challenger decided again, oldest first; all arrays of one length [n].

    Attributes:
        skipped: how many more it could not decide.
        against: the versions that answered.
    """

    seq: NDArray[np.int64]
    time: NDArray[np.int64]
    old_score: NDArray[np.float64]
    old_decision: NDArray[np.int8]
    score: NDArray[np.float64]
    decision: NDArray[np.int8]
    skipped: int
    against: tuple[str, ...]


class Results:
    """One file; one process at a time writes, any number read.

    Args:
        writes: whether this process is the one that writes.

    Raises:
        InvalidInput: there is nothing to read.
        CounterfoilError: another process writes, or it cannot be made.
    """

    def __init__(self, path: Path, *, writes: bool) -> None:
        self._lock = claim(path, _HELD, "shadows into") if writes else None
        if not writes and not path.is_file():
            raise InvalidInput(_NOTHING)
        try:
            mode = "rwc" if writes else "ro"
            self._file = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            if writes:
                self._file.execute("PRAGMA journal_mode=WAL")
                # A power cut may take the last moments, decided anew then: the disk is the service's to sync.
                self._file.execute("PRAGMA synchronous=NORMAL")
                self._file.executescript(_TABLES)
            made = self._file.execute("SELECT 1 FROM sqlite_master WHERE name = 'progress'").fetchone()
        except sqlite3.Error as error:
            if self._lock is not None:
                os.close(self._lock)
            raise CounterfoilError(f"{path}: cannot hold {_HELD}: {error}") from None
        if made is None:  # it is just being begun
            self._file.close()
            raise InvalidInput(_NOTHING)

    def settled(self, version: str) -> int | None:
        """Events up to this place are done with; None for a version that shadowed nothing yet."""
        row = self._file.execute("SELECT settled FROM progress WHERE version = ?", (version,)).fetchone()
        return None if row is None else int(row[0])

    def done(self, version: str, after: int) -> set[int]:
        """Places after this one that the version has decided already."""
        rows = self._file.execute("SELECT seq FROM shadowed WHERE version = ? AND seq > ?", (version, after))
        return {seq for (seq,) in rows}

    def add(self, version: str, rows: Iterable[Shadowed], settled: int) -> None:
        """Add what was decided, and how far the log is done with. Atomic: after a crash both or neither are there."""
        marks = ", ".join("?" * (1 + len(fields(Shadowed))))
        self._file.execute("BEGIN IMMEDIATE")
        try:
            values = ((version, *astuple(row)) for row in rows)
            self._file.executemany(f"INSERT INTO shadowed VALUES ({marks})", values)
            self._file.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (version, settled))
            self._file.execute("COMMIT")
        except BaseException:
            self._file.execute("ROLLBACK")
            raise

    def columns(self, version: str, most: int) -> Columns:
        """The newest decisions of a version, at most so many."""
        with closing(self._file.cursor()) as cursor:
            cursor.execute("BEGIN")
            rows: Sequence[tuple[int, int, float, int, float, int]] = cursor.execute(
                "SELECT seq, time, old_score, old_decision, score, decision FROM shadowed "
                "WHERE version = ? AND score IS NOT NULL ORDER BY seq DESC LIMIT ?",
                (version, most),
            ).fetchall()[::-1]
            skipped, *_ = cursor.execute(
                "SELECT count(*) FROM shadowed WHERE version = ? AND score IS NULL", (version,)
            ).fetchone()
            names = cursor.execute(
                "SELECT DISTINCT model_version FROM shadowed WHERE version = ? ORDER BY 1", (version,)
            ).fetchall()
            cursor.execute("COMMIT")
        seq, time, old_score, old_decision, score, decision = zip(*rows, strict=True) if rows else ((),) * 6
        return Columns(
            np.array(seq, np.int64),
            np.array(time, np.int64),
            np.array(old_score, np.float64),
            np.array(old_decision, np.int8),
            np.array(score, np.float64),
            np.array(decision, np.int8),
            int(skipped),
            tuple(name for (name,) in names),
        )

    def close(self) -> None:
        """Release it."""
        self._file.close()
        if self._lock is not None:
            os.close(self._lock)
