"""Tables on disk: CSV (also .gz, .zst) and Parquet, read and written in chunks."""

from __future__ import annotations

import glob
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import numpy as np
import polars as pl
import zstandard
from polars.io.plugins import register_io_source

from models.csv_stream import Chunk, CsvSplitter
from models.errors import InvalidInput

SUFFIXES = (".csv", ".csv.gz", ".csv.zst", ".parquet")
_READ_BYTES = 1 << 20
_PARQUET_ROWS = 65_536


def table_kind(path: Path) -> str:
    """The suffix of a table's file name, one of SUFFIXES.

    Raises:
        InvalidInput: naming the file and the allowed suffixes.
    """
    name = path.name.lower()
    for suffix in sorted(SUFFIXES, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise InvalidInput(f"{path}: unknown kind of file; expected one of {', '.join(SUFFIXES)}")


def expand(patterns: list[str]) -> list[Path]:
    """The files that names and globs mean, each glob sorted.

    Raises:
        InvalidInput: naming a pattern that matches nothing, or a file of an unknown kind.
    """
    files: list[Path] = []
    for pattern in patterns:
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - patterns may be absolute
        if not found:
            raise InvalidInput(f"{pattern}: no such file")
        files.extend(Path(name) for name in found)
    for file in files:
        table_kind(file)
        if not file.is_file():
            raise InvalidInput(f"{file}: not a file")
    return files


class TableReader:
    """One table, read from the start to the end in chunks.

    Args:
        path: a CSV or Parquet file.

    Attributes:
        columns: names of the columns.
        schema: column types; all text for CSV.
        delimiter: the CSV's cell separator; a comma for Parquet.
        size: bytes on disk.
        position: bytes read so far (CSV), for a progress bar; an estimate for Parquet.
        row_word: what a chunk's ``lines`` count: "line" (CSV) or "row" (Parquet).

    Raises:
        InvalidInput: for a file that is empty, unreadable or not what its suffix says.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kind = table_kind(path)
        self.row_word = "row" if self.kind == ".parquet" else "line"
        self.position = 0
        self.delimiter = ","
        try:
            self.size = path.stat().st_size
            if self.size == 0:
                raise InvalidInput(f"{path}: the file is empty")
            if self.kind == ".parquet":
                self.schema: dict[str, pl.DataType] = dict(pl.scan_parquet(path, glob=False).collect_schema())
            else:
                self._first = self._csv_chunks()
                self._head = next(self._first, None)
                assert self._splitter.header is not None
                self.schema = {name: pl.String() for name in self._splitter.header}
                self.delimiter = self._splitter.delimiter
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be read: {error.strerror or type(error).__name__}") from None
        except pl.exceptions.PolarsError:
            raise InvalidInput(f"{path}: not a readable Parquet file") from None
        self.columns = list(self.schema)

    def chunks(self) -> Iterator[Chunk]:
        """The table's rows in order, once. Memory stays bounded by a chunk."""
        if self.kind == ".parquet":
            yield from self._parquet_chunks()
        else:
            if self._head is not None:
                yield self._head
                self._head = None
            yield from self._first

    def _csv_chunks(self) -> Iterator[Chunk]:
        self._splitter = CsvSplitter(str(self.path))
        with self.path.open("rb") as raw:
            stream = _decompress(raw, self.kind)
            try:
                while data := stream.read(_READ_BYTES):
                    self.position = raw.tell()
                    yield from self._splitter.feed(data)
            except (EOFError, OSError, zlib.error, zstandard.ZstdError):
                raise InvalidInput(f"{self.path}: the compressed data is damaged or cut off") from None
            yield from self._splitter.finish()

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


def _decompress(raw: IO[bytes], kind: str) -> IO[bytes]:
    if kind == ".csv.gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if kind == ".csv.zst":
        return cast(IO[bytes], _ZstdReader(raw))
    return raw


class _ZstdReader:
    """Decompressed bytes of consecutive frames. ``zstandard``'s own reader takes a file cut off for a whole one."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Some bytes, none at the end; an eighth of ``size`` is read at a time, since it grows."""
        while data := self._rest or self._raw.read(size // 8):
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            plain = self._frame.decompress(data)
            self._rest = self._frame.unused_data
            if plain:
                return plain
        if not self._frame.eof:
            raise EOFError
        return b""


@contextmanager
def _compressed(raw: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    if kind == ".csv.gz":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
            yield cast(IO[bytes], stream)
    elif kind == ".csv.zst":
        with zstandard.ZstdCompressor(write_checksum=True).stream_writer(raw, closefd=False) as stream:
            yield cast(IO[bytes], stream)
    else:
        yield raw


def write_frames(path: Path, frames: Iterator[pl.DataFrame], *, delimiter: str = ",", kind: str = "") -> None:
    """Write frames of one schema, one after the other, in bounded memory.

    Args:
        path: where to; written in place, so give it a path from :func:`models.aside.written_aside`.
        frames: at least one frame; the first fixes the columns and types.
        delimiter: of a CSV's cells.
        kind: one of SUFFIXES; the path's own by default.
    """
    kind = kind or table_kind(path)
    if kind == ".parquet":
        head = next(frames)

        def source(
            _columns: list[str] | None, _predicate: pl.Expr | None, _rows: int | None, _batch: int | None
        ) -> Iterator[pl.DataFrame]:
            yield head
            yield from frames

        register_io_source(source, schema=head.schema).sink_parquet(path)
        return
    with path.open("wb") as raw, _compressed(raw, kind) as stream:
        for number, frame in enumerate(frames):
            stream.write(csv_bytes(frame, header=number == 0, delimiter=delimiter))


def csv_bytes(frame: pl.DataFrame, *, header: bool, delimiter: str = ",") -> bytes:
    """A frame as CSV."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, separator=delimiter)
    return buffer.getvalue()
