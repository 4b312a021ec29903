"""Tables written: CSV (also compressed) and Parquet, frame after frame in bounded memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable, Iterator
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
    write_pieces(
        path, (csv_bytes(frame, header=number == 0, delimiter=delimiter) for number, frame in enumerate(frames)), kind
    )


def write_pieces(path: Path, pieces: Iterable[bytes], kind: str) -> None:
    """Write text piece by piece, compressed as its kind says."""
    with path.open("wb") as raw, _compressed(raw, kind) as stream:
        for piece in pieces:
            stream.write(piece)


def csv_bytes(frame: pl.DataFrame, *, header: bool, delimiter: str = ",") -> bytes:
    """A frame as CSV."""
    buffer = io.BytesIO()
    frame.write_csv(buffer, include_header=header, separator=delimiter)
    return buffer.getvalue()


def widened_lines(text: bytes, added: pl.DataFrame, delimiter: str) -> bytes | None:
    """Lines of CSV as they stand, with further cells behind each: what :func:`csv_bytes` makes of all their columns.

    In a fifth of the time, since the cells that are there already are not looked at again.

    Args:
        text: the lines, as :attr:`models.csv_stream.Chunk.text` has them.
        added: a row for each.

    Returns:
        None where a further cell needs quotation marks, or the text holds characters that no text has.
    """
    marks = [delimiter, '"', "\n", "\r"]
    texts = [cells for cells in added if cells.dtype == pl.String]
    if not text or b"\0" in text or any(cells.str.contains_any(marks).any() for cells in texts):
        return None
    # As in models.csv_stream: the line in front keeps Polars from taking the first bytes for a byte order mark.
    lines = pl.read_csv(b"0\n" + text, has_header=False, separator="\0", quote_char=None, schema={"": pl.String}).slice(
        1
    )
    buffer = io.BytesIO()
    lines.hstack(added).write_csv(buffer, include_header=False, separator=delimiter, quote_style="never")
    return buffer.getvalue()
