"""Tables written: CSV (also compressed) and Parquet, frame after frame in bounded memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import polars as pl
import zstandard
from polars.io.plugins import register_io_source

from models.tables.kinds import table_kind


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
        kind: one of WRITTEN; the path's own by default.
    """
    kind = kind or table_kind(path, written=True)
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
