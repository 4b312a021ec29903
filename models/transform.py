"""Turn one table on disk into another, chunk by chunk: what batch scoring, embedding and recording share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import polars as pl

from models.ahead import in_order
from models.annotate import CardMask, hashed_fields, require_free_names, unchecked_columns, withheld
from models.aside import written_aside
from models.csv_stream import Chunk
from models.errors import InvalidInput
from models.kept_results import KeptResults
from models.parsing import parse_rows
from models.reading.plain_numbers import plain_fields, surely_plain
from models.rows import ParsedRows, RowError
from models.schema import TransactionSchema
from models.strict_tables import opened
from models.tables import TableReader, csv_bytes, table_kind, widened_lines, write_frames, write_pieces

OnError = Literal["stop", "reject"]
#: Told bytes read, bytes in all, and rows written.
Progress = Callable[[int, int, int], None]
_Found = TypeVar("_Found", covariant=True)  # noqa: PLC0105 - it is read in functions, too


class Prepared(Protocol[_Found]):
    """Parses each row of a table once: a chunk at a time, or all of them before the first is written."""

    def chunk(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, _Found]:
        """The rows of a chunk that can be written, and what was found out of them; asked for once, by any thread.

        Args:
            number: of the chunk, counted from 0.
        """

    def none(self) -> _Found:
        """What was found out of no rows."""


class KeptRows:
    """The rows of a table, parsed when it was read the first time: given out chunk by chunk when it is read again.

    Args:
        source: where they are from, for messages.
        parts: as the chunks come.
    """

    def __init__(self, source: Path, parts: Iterable[ParsedRows]) -> None:
        self._source = source
        self._parts: list[ParsedRows | None] = list(parts)
        self._ends = list(accumulate(len(part.time) for part in self._parts if part))

    def take(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, slice]:
        """The rows of a chunk, which are let go, and their places among all rows.

        Raises:
            InvalidInput: the table has changed since.
        """
        part = self._parts[number] if number < len(self._parts) else None
        if part is None or len(part.good) != frame.height:
            raise InvalidInput(f"{self._source}: the file changed while it was read; run it again")
        self._parts[number] = None
        return part, slice(self._ends[number] - len(part.time), self._ends[number])


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
    annotate: Callable[[ParsedRows, _Found], list[pl.Series]],
    on_error: OnError,
    on_progress: Progress | None,
    *,
    threads: int = 1,
    seen: Callable[[ParsedRows], None] = lambda _: None,
    kept: KeptResults | None = None,
    as_numbers: bool = False,
) -> BatchReport:
    """Write a table's rows with further columns. Card numbers in columns that the schema does not name are withheld.

    Args:
        added: names of the further columns.
        prepare: called once the table is known to have the columns of the schema.
        annotate: a chunk's good rows, and what was prepared of them, to the further columns; called by several threads
            at the same time.
        threads: chunks worked on at the same time.
        seen: told the rows that are written, in their order.
        as_numbers: whether a chunk may be prepared twice: of numbers and, if anything is odd about them, of text.
        kept: where further columns are kept until the table is whole, and taken from.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """
    kind = table_kind(output, written=True)
    # A Parquet file has the types that the frames have: text where the input is text.
    typed = as_numbers and kind != ".parquet"
    reader = opened(schema, source, numbers=(lambda header: plain_fields(schema.of_table(header))) if typed else None)
    if output.exists() and output.samefile(source):
        raise InvalidInput(f"{output}: is the input itself; give the output another name")
    require_free_names(reader.columns, added)
    unchecked = unchecked_columns(schema, reader.columns)
    mask = CardMask(schema.trusted)
    prepared = prepare()
    rejects_path = output.with_name(output.name + ".rejects.csv")
    rejected: list[RowError] = []
    rows = alerts = 0

    def work(item: tuple[int, Chunk, int]) -> _Worked:
        number, chunk, position = item
        parsed, found = prepared.chunk(number, chunk.frame)
        if typed and not surely_plain(parsed) and (text := chunk.as_text()) is not chunk:
            chunk = text
            parsed, found = prepared.chunk(number, chunk.frame)
        bad = chunk.errors(parsed)
        if bad and on_error == "stop":
            raise InvalidInput(f"{source}: {bad[0].told(reader.row_word)}")
        taken = kept.take(chunk) if kept else None
        further = _named(annotate(parsed, found), added) if taken is None else taken
        good = chunk.frame if parsed.good.all() else chunk.frame.filter(pl.Series(parsed.good))
        return _Worked(chunk, withheld(good, hashed_fields(schema)), further, parsed, bad, position)

    def results() -> Iterator[tuple[_Worked, pl.DataFrame]]:
        """What became of each chunk, and its rows as they may be shown."""
        nonlocal rows, alerts
        items = ((number, chunk, reader.position) for number, chunk in enumerate(reader.chunks()))
        for done in in_order(work, items, threads):
            if kept:
                kept.keep(done.chunk, done.further)
            rejected.extend(done.bad)
            seen(done.parsed)
            rows += done.own.height
            if "is_anomaly" in added:
                alerts += int(done.further["is_anomaly"].sum())
            if on_progress:
                on_progress(done.position, reader.size, rows)
            own = mask.hide(done.own, unchecked)
            if own is not done.chunk.frame and (text := done.chunk.as_text()) is not done.chunk:
                own = mask.hide(withheld(text.frame, hashed_fields(schema)), unchecked)
            yield done, own

    nothing = pl.DataFrame(schema=reader.schema)
    head = nothing.hstack(_named(annotate(parse_rows(schema, nothing), prepared.none()), added))
    with written_aside(output, by="kept" if kept else None) as aside:
        if kind == ".parquet":
            write_frames(aside, chain([head], (own.hstack(done.further) for done, own in results())), kind=kind)
        else:
            write_pieces(aside, _pieces(head, results(), reader.delimiter), kind)
        _write_rejects(rejects_path, rejected, reader)
    return BatchReport(rows, alerts, len(rejected), rejects_path if rejected else None)


@dataclass(frozen=True)
class _Worked:
    """A chunk, its good rows but for card numbers in columns that nobody named, and their further columns; its rows,
    good and bad; how far the table was read then."""

    chunk: Chunk
    own: pl.DataFrame
    further: pl.DataFrame
    parsed: ParsedRows
    bad: list[RowError]
    position: int


def _pieces(head: pl.DataFrame, results: Iterable[tuple[_Worked, pl.DataFrame]], delimiter: str) -> Iterator[bytes]:
    """The table as CSV; rows of which nothing is left out or hidden keep the text that they have."""
    yield csv_bytes(head, header=True, delimiter=delimiter)
    for done, own in results:
        kept = own is done.chunk.frame
        lines = widened_lines(done.chunk.text, done.further, delimiter) if kept else None
        rows = done.chunk.as_text().frame if kept and not lines else own
        yield lines or csv_bytes(rows.hstack(done.further), header=False, delimiter=delimiter)


def _named(columns: list[pl.Series], names: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame([column.alias(name) for column, name in zip(columns, names, strict=True)])


def _write_rejects(path: Path, rejected: list[RowError], reader: TableReader) -> None:
    if not rejected:
        path.unlink(missing_ok=True)
        return
    columns = {
        reader.row_word: np.array([error.row for error in rejected]),
        "column": [error.column for error in rejected],
        "cause": [error.cause for error in rejected],
    }
    with written_aside(path) as aside:
        pl.DataFrame(columns).write_csv(aside)
