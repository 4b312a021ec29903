"""Turn one table on disk into another, chunk by chunk: what batch scoring, embedding and recording share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import polars as pl

from models.annotate import CardMask, hashed_fields, require_free_names, withheld
from models.aside import written_aside
from models.errors import InvalidInput
from models.parsing import parse_rows
from models.rows import ParsedRows, RowError
from models.schema import TransactionSchema
from models.strict_tables import opened
from models.tables import TableReader, table_kind, write_frames

OnError = Literal["stop", "reject"]
Progress = Callable[[int, int], None]
_Found = TypeVar("_Found", covariant=True)  # noqa: PLC0105 - it is read in functions, too


class Prepared(Protocol[_Found]):
    """Parses each row of a table once: a chunk at a time, or all of them before the first is written."""

    def next(self, frame: pl.DataFrame) -> tuple[ParsedRows, _Found]:
        """The next chunk's rows that can be written, and what was found out of them."""

    def none(self) -> _Found:
        """What was found out of no rows."""


class KeptRows:
    """The rows of a table, parsed when it was read the first time: given out chunk by chunk when it is read again.

    Args:
        source: where they are from, for messages.
        parts: as the chunks come.
    """

    def __init__(self, source: Path, parts: Iterable[ParsedRows]) -> None:
        self._source, self._parts = source, deque(parts)

    def next(self, frame: pl.DataFrame) -> ParsedRows:
        """The rows of the next chunk, which are let go.

        Raises:
            InvalidInput: the table has changed since.
        """
        part = self._parts.popleft() if self._parts else None
        if part is None or len(part.good) != frame.height:
            raise InvalidInput(f"{self._source}: the file changed while it was read; run it again")
        return part


@dataclass(frozen=True)
class BatchReport:
    """What became of a table.

    Attributes:
        rows: rows written.
        alerts: of these, at or above the threshold; 0 for embeddings.
        rejected: rows left out.
        rejects: where they are listed, None if there are none.
        unfamiliar: categories most of whose values training did not know.
    """

    rows: int
    alerts: int
    rejected: int
    rejects: Path | None
    unfamiliar: tuple[str, ...] = ()


def transform_table(
    schema: TransactionSchema,
    source: Path,
    output: Path,
    added: Sequence[str],
    prepare: Callable[[], Prepared[_Found]],
    annotate: Callable[[pl.DataFrame, ParsedRows, _Found], pl.DataFrame],
    on_error: OnError,
    on_progress: Progress | None,
) -> BatchReport:
    """Write a table's rows with further columns. Card numbers in columns that the schema does not name are withheld.

    Args:
        added: names of the further columns.
        prepare: called once the table is known to have the columns of the schema.
        annotate: a chunk, its good rows, and what was prepared of them, to the frame that is written.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """
    kind = table_kind(output, written=True)
    reader = opened(schema, source)
    if output.exists() and output.samefile(source):
        raise InvalidInput(f"{output}: is the input itself; give the output another name")
    require_free_names(reader.columns, added)
    checked = {field for name in (*schema.inputs, schema.label) if name for field in schema.columns[name].fields(name)}
    unchecked = [name for name in reader.columns if name not in checked]
    secret = hashed_fields(schema)
    mask = CardMask(schema.trusted)
    prepared = prepare()
    rejects_path = output.with_name(output.name + ".rejects.csv")
    rejected: list[RowError] = []
    rows = alerts = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal rows, alerts
        empty = True
        for chunk in reader.chunks():
            parsed, found = prepared.next(chunk.frame)
            bad = chunk.errors(parsed)
            if bad and on_error == "stop":
                raise InvalidInput(f"{source}: {bad[0].told(reader.row_word)}")
            rejected.extend(bad)
            frame = mask.hide(withheld(annotate(chunk.frame, parsed, found), secret), unchecked)
            rows += frame.height
            if "is_anomaly" in added:
                alerts += int(frame["is_anomaly"].sum())
            if on_progress:
                on_progress(reader.position, reader.size)
            empty = False
            yield frame
        if empty:
            nothing = pl.DataFrame(schema=reader.schema)
            yield annotate(nothing, parse_rows(schema, nothing), prepared.none())

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
