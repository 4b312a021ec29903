"""A table scored and recorded, as if its rows had been sent one by one in the order of their time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic_core import from_json

from app.recording.answers import Answer
from app.recording.engine import Engine
from app.recording.recorder import Recorder
from app.refusals import Refusal
from app.requests.arrival import ScoreOptions
from app.requests.encoder import Encoder
from models.annotate import added_columns
from models.parsing import parse_rows
from models.rows import ParsedRows
from models.schema import TransactionSchema
from models.strict_tables import checked_chunks
from models.tables import TableReader
from models.transform import BatchReport, KeptRows, OnError, Progress, transform_table

_AT_ONCE = 256


def record_table(
    recorder: Recorder,
    engine: Engine,
    encoder: Encoder,
    schema: TransactionSchema,
    source: Path,
    output: Path,
    *,
    reasons: int = 0,
    on_error: OnError = "stop",
    on_progress: Progress | None = None,
) -> BatchReport:
    """Record every row, then write the table with its answers, as :func:`models.batch.score_table` does.

    A row that is recorded already gets its earlier answer; one that the service would refuse is a bad row.

    Raises:
        InvalidInput: naming file, line, column and cause. With ``on_error`` "stop" nothing was recorded if a cell is at
            fault; a row refused for its time or its id stops the output, the rows before it are recorded.
        StoreUnavailable: rows before the failure are recorded; the same command again goes on.
    """

    def annotate(parsed: ParsedRows, answers: _Answers) -> list[pl.Series]:
        return answers.columns(reasons)

    def prepare() -> _Recorded:
        # With "stop" every cell is looked at before the first row is recorded.
        chunks = checked_chunks(schema, [source]) if on_error == "stop" else _chunks(schema, source)
        rows = _Rows(source, chunks)
        answers = _Answers.none(rows.count, reasons)
        options = ScoreOptions(reasons)
        for places, parsed in rows.in_time_order():
            arrivals = encoder.rows(parsed, options)
            taken = [(place, one) for place, one in zip(places, arrivals, strict=True) if not isinstance(one, Refusal)]
            answers.refused |= {
                place: one for place, one in zip(places, arrivals, strict=True) if isinstance(one, Refusal)
            }
            told = recorder.answer(engine, [one for _, one in taken]) if taken else []
            for (place, _), answer in zip(taken, told, strict=True):
                answers.take(place, answer)
        return _Recorded(rows.kept, answers)

    added = added_columns(reasons)
    report = transform_table(schema, source, output, added, prepare, annotate, on_error, on_progress)
    return replace(report, unfamiliar=engine.familiarity.news())


def _chunks(schema: TransactionSchema, source: Path) -> Iterator[tuple[pl.DataFrame, ParsedRows]]:
    for chunk in TableReader(source, schema.file).chunks():
        yield chunk.frame, parse_rows(schema, chunk.frame)


class _Rows:
    """The good rows of a table, parsed.

    Attributes:
        kept: to be given out again, chunk by chunk.
        count: of them.
    """

    def __init__(self, source: Path, chunks: Iterator[tuple[pl.DataFrame, ParsedRows]]) -> None:
        parts = [parsed for _, parsed in chunks]
        self.kept = KeptRows(source, parts)
        self.count = sum(len(part.time) for part in parts)
        self._whole = ParsedRows.concat(parts) if parts else None

    def in_time_order(self) -> Iterator[tuple[list[int], ParsedRows]]:
        """Some rows at a time: their places in the file, and they themselves. Once."""
        whole, self._whole = self._whole, None
        order = np.empty(0, np.int64) if whole is None else np.argsort(whole.time, kind="stable")
        for start in range(0, len(order), _AT_ONCE):
            some = order[start : start + _AT_ONCE]
            assert whole is not None
            yield some.tolist(), whole.take(some)


@dataclass(slots=True)
class _Answers:
    """The answers to rows, as columns; ``refused``: in place of one, by its position."""

    score: NDArray[np.float64]
    error: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    decision: list[str]
    texts: list[list[str | None]]
    refused: dict[int, Refusal]

    @staticmethod
    def none(rows: int, reasons: int) -> _Answers:
        """Not yet."""
        texts: list[list[str | None]] = [[None] * rows for _ in range(reasons)]
        return _Answers(np.zeros(rows), np.zeros(rows), np.zeros(rows, bool), [""] * rows, texts, {})

    def take(self, row: int, answer: Answer | Refusal) -> None:
        """Put in the answer to a row."""
        if isinstance(answer, Refusal):
            self.refused[row] = answer
            return
        if answer.reply is None:  # recorded earlier: its reply is there as it was stored
            told = from_json(answer.content)
            score, error, decision = told["score"], told["reconstruction_error"], told["decision"]
            alert, texts = told["is_anomaly"], [reason["text"] for reason in told["reasons"]]
        else:
            score, error, decision = answer.reply.score, answer.reply.reconstruction_error, answer.reply.decision
            alert, texts = answer.reply.is_anomaly, [reason.text for reason in answer.reply.reasons]
        self.score[row], self.error[row], self.is_anomaly[row], self.decision[row] = score, error, alert, decision
        for column, text in zip(self.texts, texts, strict=False):
            column[row] = text

    def part(self, rows: slice, kept: NDArray[np.bool_]) -> _Answers:
        """Those of some consecutive rows that are ``kept``."""
        chosen = np.flatnonzero(kept) + rows.start
        return _Answers(
            self.score[chosen],
            self.error[chosen],
            self.is_anomaly[chosen],
            [self.decision[row] for row in chosen],
            [[column[row] for row in chosen] for column in self.texts],
            {},
        )

    def columns(self, reasons: int) -> list[pl.Series]:
        """As they are written, in the order of :func:`models.annotate.added_columns`."""
        return [
            pl.Series(self.score, dtype=pl.Float64),
            pl.Series(self.error, dtype=pl.Float64),
            pl.Series(self.is_anomaly, dtype=pl.Boolean),
            pl.Series(self.decision, dtype=pl.String),
            *(pl.Series(column, dtype=pl.String) for column in self.texts[:reasons]),
        ]


class _Recorded:
    """The answers to all rows of a table, given out in the order of the file."""

    def __init__(self, kept: KeptRows, answers: _Answers) -> None:
        self._kept, self._answers = kept, answers

    def chunk(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, _Answers]:
        """The chunk's rows that are recorded, with their answers."""
        parsed, mine = self._kept.take(number, frame)
        kept = np.ones(len(parsed.time), bool)
        refused = [row for row in range(mine.start, mine.stop) if row in self._answers.refused]
        for row in reversed(refused):
            kept[row - mine.start] = False
            refusal = self._answers.refused[row]
            field, cause = next(((error.field, error.message) for error in refusal.errors), ("", str(refusal)))
            parsed = parsed.refuse(np.arange(len(parsed.time)) == row - mine.start, field, cause)
        return parsed, self._answers.part(mine, kept)

    def none(self) -> _Answers:
        """Of no rows."""
        return self._answers.part(slice(0, 0), np.empty(0, bool))
