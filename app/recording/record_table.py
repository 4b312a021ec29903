"""A table scored and recorded, as if its rows had been sent one by one in the order of their time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import from_json

from app.problems import Refused
from app.recording.recorder import Answer, Recorder
from app.requests.bodies import Wanted
from app.requests.model import RequestModel
from models.annotate import added_columns, with_added
from models.batch import BatchReport, OnError, Progress, transform_table
from models.parsing import parse_rows
from models.rows import ParsedRows
from models.schema import CurrencyColumn, TransactionSchema
from models.strict_tables import checked_chunks
from models.tables import TableReader

_AT_ONCE = 256


def record_table(
    recorder: Recorder,
    requests: RequestModel,
    schema: TransactionSchema,
    source: Path,
    output: Path,
    *,
    reasons: int = 0,
    on_error: OnError = "stop",
    on_progress: Progress | None = None,
) -> BatchReport:
    """Record every row, then write the table with its answers, as :func:`models.batch.score_table` does.

    A row that is recorded already gets its answer of then; one that the service would refuse is a bad row.

    Raises:
        InvalidInput: naming file, line, column and cause. With ``on_error`` "stop" nothing was recorded if a cell is at
            fault; a row refused for its time or its id stops the output, the rows before it are recorded.
        StoreUnavailable: rows before the failure are recorded; the same command again goes on.
    """

    def annotate(frame: pl.DataFrame, parsed: ParsedRows, answers: list[bytes]) -> pl.DataFrame:
        replies = [from_json(answer) for answer in answers]
        texts = [[reason["text"] for reason in reply["reasons"][:reasons]] for reply in replies]
        columns = [
            pl.Series([reply["score"] for reply in replies], dtype=pl.Float64),
            pl.Series([reply["reconstruction_error"] for reply in replies], dtype=pl.Float64),
            pl.Series([reply["is_anomaly"] for reply in replies], dtype=pl.Boolean),
            pl.Series([reply["decision"] for reply in replies], dtype=pl.String),
        ]
        for place in range(reasons):
            columns.append(pl.Series([text[place] if place < len(text) else None for text in texts], dtype=pl.String))
        return with_added(frame.filter(pl.Series(parsed.good)), columns)

    def prepare() -> _Recorded:
        if on_error == "stop":  # every cell is looked at before the first row is recorded
            for _ in checked_chunks(schema, [source]):
                pass
        return _Recorded(recorder, requests, schema, source, Wanted(reasons))

    return transform_table(schema, source, output, added_columns(reasons), prepare, annotate, on_error, on_progress)


class _Recorded:
    """The answers to all rows of a table, given out in the order of the file."""

    def __init__(
        self, recorder: Recorder, requests: RequestModel, schema: TransactionSchema, source: Path, want: Wanted
    ) -> None:
        rows: list[dict[str, Any]] = []
        for chunk in TableReader(source).chunks():
            parsed = parse_rows(schema, chunk.frame)
            rows += _rows(schema, parsed)
        self._answers: list[Answer] = [b""] * len(rows)
        self._given = 0
        order = sorted(range(len(rows)), key=lambda i: rows[i][schema.timestamp] if schema.timestamp else i)
        for start in range(0, len(order), _AT_ONCE):
            some = order[start : start + _AT_ONCE]
            asked = []
            for i in some:
                try:
                    requests.pseudonyms.check(rows[i])
                    asked.append((i, requests.asked(rows[i], want)))
                except Refused as refusal:
                    self._answers[i] = refusal
            answers = recorder.answer([one for _, one in asked]) if asked else []
            for (i, _), answer in zip(asked, answers, strict=True):
                self._answers[i] = answer

    def next(self, parsed: ParsedRows) -> tuple[ParsedRows, list[bytes]]:
        """The next chunk's rows that are recorded, with their answers."""
        mine = self._answers[self._given : self._given + len(parsed.time)]
        self._given += len(mine)
        for i, answer in reversed(list(enumerate(mine))):
            if isinstance(answer, Refused):
                field, cause = next(((error.field, error.message) for error in answer.errors), ("", str(answer)))
                parsed = parsed.refuse(np.arange(len(parsed.time)) == i, field, cause)
        return parsed, [answer for answer in mine if isinstance(answer, bytes)]

    def none(self) -> list[bytes]:
        """Of no rows."""
        return []


def _rows(schema: TransactionSchema, parsed: ParsedRows) -> list[dict[str, Any]]:
    """The good rows as the request model gives them."""
    columns: dict[str, list[Any]] = {}
    numbers, texts = iter(parsed.numeric.T), iter(parsed.text)
    for name in schema.inputs:
        column = schema.columns[name]
        if name in schema.sent_numeric:
            columns[name] = next(numbers).tolist()
        elif name in schema.categorical:
            columns[name] = [value or None for value in next(texts).to_list()]
        elif name == schema.timestamp:
            columns[name] = parsed.time.tolist()
        elif isinstance(column, CurrencyColumn):
            columns[name] = [column.code] * len(parsed.time)
        elif parsed.id is not None and name == schema.id:
            columns[name] = parsed.id.to_list()
        else:
            columns[name] = parsed.entity[name].to_list()
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
