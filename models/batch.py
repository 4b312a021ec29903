"""Turn one table on disk into another under a model's schema, in constant memory: batch scoring and embedding."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from models.annotate import added_columns, require_free_names, scored_frame
from models.errors import InvalidInput
from models.parsing import parse_rows, require_columns
from models.rows import ParsedRows, RowError
from models.scorer import Scorer
from models.tables import TableReader, table_kind, write_frames, written_aside

OnError = Literal["stop", "reject"]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BatchReport:
    """What became of a table.

    Attributes:
        rows: rows written.
        alerts: of these, at or above the threshold; 0 for embeddings.
        rejected: rows left out.
        rejects: where they are listed, None if there are none.
    """

    rows: int
    alerts: int
    rejected: int
    rejects: Path | None


def score_table(
    scorer: Scorer,
    source: Path,
    output: Path,
    *,
    reasons: int = 0,
    on_error: OnError = "stop",
    on_progress: Progress | None = None,
) -> BatchReport:
    """Write the input's columns, untouched and in order, with those of :func:`models.annotate.added_columns`.

    Args:
        reasons: reason columns per row.
        on_error: ``stop`` raises at the first bad row and leaves no output; ``reject`` lists bad rows in
            ``<output>.rejects.csv`` (line, column, cause) and goes on.
        on_progress: called with bytes read and bytes in all.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """

    def annotate(frame: pl.DataFrame, parsed: ParsedRows) -> pl.DataFrame:
        return scored_frame(scorer, frame, parsed, reasons)

    return _transform(scorer, source, output, annotate, added_columns(reasons), on_error, on_progress)


def embed_table(
    scorer: Scorer,
    source: Path,
    output: Path,
    *,
    on_error: OnError = "stop",
    on_progress: Progress | None = None,
) -> BatchReport:
    """Write the input's columns with the code h = f(x) as code_1, code_2, … Otherwise as :func:`score_table`."""
    names = [f"code_{i}" for i in range(1, scorer.manifest.architecture.code_size + 1)]

    def annotate(frame: pl.DataFrame, parsed: ParsedRows) -> pl.DataFrame:
        codes = scorer.codes(parsed.batch(scorer.vocabulary))
        return frame.filter(pl.Series(parsed.good)).hstack(pl.from_numpy(codes, schema=names).get_columns())

    return _transform(scorer, source, output, annotate, names, on_error, on_progress)


def _transform(
    scorer: Scorer,
    source: Path,
    output: Path,
    annotate: Callable[[pl.DataFrame, ParsedRows], pl.DataFrame],
    added: tuple[str, ...] | list[str],
    on_error: OnError,
    on_progress: Progress | None,
) -> BatchReport:
    kind = table_kind(output)
    reader = TableReader(source)
    if output.exists() and output.samefile(source):
        raise InvalidInput(f"{output}: is the input itself; give the output another name")
    require_columns(scorer.schema, reader.columns, source=str(source))
    require_free_names(reader.columns, added)
    rejects_path = output.with_name(output.name + ".rejects.csv")
    rejected: list[RowError] = []
    rows = alerts = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal rows, alerts
        empty = True
        for chunk in reader.chunks():
            parsed = parse_rows(scorer.schema, chunk.frame)
            bad = chunk.errors(parsed)
            if bad and on_error == "stop":
                raise InvalidInput(f"{source}: {bad[0].told(reader.row_word)}")
            rejected.extend(bad)
            frame = annotate(chunk.frame, parsed)
            rows += frame.height
            if "is_anomaly" in added:
                alerts += int(frame["is_anomaly"].sum())
            if on_progress:
                on_progress(reader.position, reader.size)
            empty = False
            yield frame
        if empty:
            nothing = pl.DataFrame(schema=reader.schema)
            yield annotate(nothing, parse_rows(scorer.schema, nothing))

    with written_aside(output) as aside:
        write_frames(aside, frames(), delimiter=reader.delimiter, kind=kind)
        if rejected:
            with written_aside(rejects_path) as rejects_aside:
                _rejects_frame(rejected, reader).write_csv(rejects_aside)
        else:
            rejects_path.unlink(missing_ok=True)
    return BatchReport(rows, alerts, len(rejected), rejects_path if rejected else None)


def _rejects_frame(rejected: list[RowError], reader: TableReader) -> pl.DataFrame:
    return pl.DataFrame(
        {
            reader.row_word: np.array([error.row for error in rejected]),
            "column": [error.column for error in rejected],
            "cause": [error.cause for error in rejected],
        }
    )
