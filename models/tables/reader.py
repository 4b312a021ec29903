"""One table of any kind, read from the start to the end in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from models.csv_stream import Chunk, CsvSplitter, Numbers
from models.errors import InvalidInput
from models.schema.file_form import PLAIN_FILE, FileForm
from models.tables.excel import read_sheet
from models.tables.json_rows import chunks_of, json_array, json_lines, names_of
from models.tables.kinds import table_kind
from models.tables.streams import text_kind, utf8_pieces

_PARQUET_ROWS = 65_536


class TableReader:
    """One table, read from the start to the end in chunks.

    Args:
        path: a file of one of the kinds that :data:`models.tables.kinds.READ` lists.
        form: what stands in the file beside the rows.
        numbers: which columns of a CSV's header may come as numbers, see :class:`models.csv_stream.CsvSplitter`.
        head: how many rows are looked at, where not all are: JSON lines have fields that only later rows name.

    Attributes:
        columns: names of the columns.
        schema: column types; all text but for Parquet.
        delimiter: the CSV's cell separator; a comma for other kinds.
        size: bytes on disk.
        position: bytes read so far, for a progress bar; an estimate for Parquet and sheets.
        row_word: what a chunk's ``lines`` count: "line" (text) or "row" (Parquet, a sheet, an array).

    Raises:
        InvalidInput: for a file that is empty, unreadable or not what its suffix says.
    """

    def __init__(
        self, path: Path, form: FileForm = PLAIN_FILE, *, head: int | None = None, numbers: Numbers | None = None
    ) -> None:
        self.path = path
        self.kind = table_kind(path)
        self.row_word = "line"
        self.position = 0
        self.delimiter = ","
        self._form = form
        self._numbers = numbers if numbers and not form.skip else lambda _: ()
        self._head = head
        try:
            self.size = path.stat().st_size
            if self.size == 0:
                raise InvalidInput(f"{path}: the file is empty")
            self._open()
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
        except pl.exceptions.PolarsError:
            raise InvalidInput(f"{path}: not a readable Parquet file") from None
        self.columns = list(self.schema)

    def chunks(self) -> Iterator[Chunk]:
        """The table's rows in order, once. Memory stays bounded by a chunk; a sheet and a JSON array are held whole."""
        skip = self._form.skip
        for chunk in self._chunks:
            yield chunk if self.kind == ".parquet" else without_skipped(chunk, skip)

    def _open(self) -> None:
        self.schema: dict[str, pl.DataType]
        self._chunks: Iterable[Chunk]
        if self.kind == ".parquet":
            self.row_word = "row"
            self.schema = dict(pl.scan_parquet(self.path, glob=False).collect_schema())
            self._chunks = self._parquet_chunks()
            return
        if self.kind == ".xlsx":
            self.row_word = "row"
            sheet = read_sheet(self.path, self._form)
            self.position = self.size
            self.schema = dict(sheet.frame.schema)
            self._chunks = [sheet]
            return
        with self.path.open("rb") as raw:
            _, text = text_kind(raw, self.kind, str(self.path))
        if text in (".jsonl", ".ndjson", ".json"):
            self._open_json(text)
        else:
            self._open_csv()

    def _open_csv(self) -> None:
        self._splitter = CsvSplitter(str(self.path), form=self._form, numbers=self._numbers)
        rest = self._csv_chunks()
        head = next(rest, None)
        assert self._splitter.header is not None
        self.schema = {name: pl.String() for name in self._splitter.header}
        self.delimiter = self._splitter.delimiter
        self._chunks = _after(head, rest)

    def _csv_chunks(self) -> Iterator[Chunk]:
        for piece in self._pieces():
            yield from self._splitter.feed(piece)
        yield from self._splitter.finish()

    def _open_json(self, kind: str) -> None:
        rows = json_array if kind == ".json" else json_lines
        self.row_word = "row" if kind == ".json" else "line"
        # Objects need not all have the same fields: which there are is known only at the end.
        names = names_of(islice(rows(self._pieces(), str(self.path)), self._head), str(self.path))
        self.schema = {name: pl.String() for name in names}
        self._chunks = chunks_of(islice(rows(self._pieces(), str(self.path)), self._head), names)

    def _pieces(self) -> Iterator[bytes]:
        with self.path.open("rb") as raw:
            stream, _ = text_kind(raw, self.kind, str(self.path))
            for piece in utf8_pieces(stream, self._form.encoding, str(self.path)):
                self.position = raw.tell()
                yield piece

    def _parquet_chunks(self) -> Iterator[Chunk]:
        frames = pl.scan_parquet(self.path, glob=False).collect_batches(chunk_size=_PARQUET_ROWS, maintain_order=True)
        row, total = 1, 1
        try:
            total = pl.scan_parquet(self.path, glob=False).select(pl.len()).collect().item()
            for frame in frames:
                yield Chunk(frame, np.arange(row, row + frame.height))
                row += frame.height
                self.position = self.size * (row - 1) // max(total, 1)
        except pl.exceptions.PolarsError:
            raise InvalidInput(f"{self.path}: damaged after row {row - 1}") from None


def without_skipped(chunk: Chunk, skip: tuple[str, ...]) -> Chunk:
    """The chunk without the rows that are none: totals, for one."""
    if not skip:
        return chunk
    first = chunk.frame.to_series(0).str.strip_chars().str.to_lowercase()
    keep = np.ones(chunk.frame.height, bool)
    for text in skip:
        keep &= ~first.str.starts_with(text.strip().lower()).fill_null(False).to_numpy()
    return Chunk(chunk.frame.filter(pl.Series(keep)), chunk.lines[keep], chunk.broken)


def _after(head: Chunk | None, rest: Iterator[Chunk]) -> Iterator[Chunk]:
    if head is not None:
        yield head
    yield from rest
