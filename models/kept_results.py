"""Results of a table's chunks kept on disk while it is scored: a run that was broken off goes on from them.

The file begins with a line of what the results depend on; behind it one record after the other is appended and brought
to disk. So a run that is killed leaves the beginning of such a file, whose last record may be cut off.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl

from models.csv_stream import Chunk
from models.errors import InvalidInput
from models.file_lock import try_lock
from models.scorer import Scorer

#: Of a record: the line that its chunk starts on, rows of the chunk, bytes behind, and their CRC-32.
_HEAD = struct.Struct("<qqqI")
_HEAD_BYTES = 1 << 20
_Key = tuple[int, int]


class KeptResults:
    """The further columns of the chunks that are done. Taken by any thread, kept by one; see :func:`kept_results`.

    Args:
        path: of the file; begun where there is none.
        of: what the results depend on, under the words for it.

    Raises:
        InvalidInput: they are of something else, or another process is at it.
    """

    def __init__(self, path: Path, of: Mapping[str, str]) -> None:
        self._path = path
        self._file = _locked(path)
        self._places: dict[_Key, tuple[int, int, int]] = {}
        self._end = 0
        try:
            self._read_records(of)
        except BaseException:
            self.close()
            raise

    def take(self, chunk: Chunk) -> pl.DataFrame | None:
        """What was kept of a chunk; None where it is not done yet."""
        start, size, crc = self._places.get(_key(chunk), (0, 0, 0))
        content = os.pread(self._file, size, start)
        if not content or zlib.crc32(content) != crc:
            self._places.pop(_key(chunk), None)
            return None
        return pl.read_ipc_stream(io.BytesIO(content))

    def keep(self, chunk: Chunk, results: pl.DataFrame) -> None:
        """Keep the results of a chunk, unless they are.

        Raises:
            OSError: naming the file; its disk is full, for one.
        """
        if not chunk.frame.height or _key(chunk) in self._places:
            return
        buffer = io.BytesIO()
        results.write_ipc_stream(buffer)
        content = buffer.getvalue()
        crc = zlib.crc32(content)
        start = self._end + _HEAD.size
        self._append(_HEAD.pack(*_key(chunk), len(content), crc) + content)
        self._places[_key(chunk)] = start, len(content), crc

    def close(self, *, done: bool = False) -> None:
        """Let go of the file; ``done``: nobody needs it any more."""
        if done:
            self._path.unlink(missing_ok=True)
        os.close(self._file)

    def _read_records(self, of: Mapping[str, str]) -> None:
        size = os.fstat(self._file).st_size
        line = os.pread(self._file, _HEAD_BYTES, 0).partition(b"\n")
        if line[1]:
            begun: dict[str, str] = json.loads(line[0])
            other = [word for word in of if begun.get(word) != of[word]]
            if other:
                raise InvalidInput(
                    f"{self._path}: what is kept there was begun with {_told(other)}; "
                    "score as it was begun, or delete that file to begin anew"
                )
            self._end = len(line[0]) + 1
            while len(head := os.pread(self._file, _HEAD.size, self._end)) == _HEAD.size:
                first, rows, length, crc = _HEAD.unpack(head)
                start = self._end + _HEAD.size
                if start + length > size:
                    break
                self._places[first, rows] = start, length, crc
                self._end = start + length
        os.ftruncate(self._file, self._end)
        if not line[1]:
            self._append(json.dumps(dict(of)).encode() + b"\n")

    def _append(self, content: bytes) -> None:
        try:
            view = memoryview(content)
            while view:
                count = os.pwrite(self._file, view, self._end)
                self._end += count
                view = view[count:]
            os.fdatasync(self._file)
        except OSError as error:
            error.filename = str(self._path)
            raise


@contextmanager
def kept_results(scorer: Scorer, source: Path, output: Path, reasons: int, state: str) -> Iterator[KeptResults]:
    """The results kept beside an output that is not whole yet, as ``.OUTPUT.kept``; deleted once it is.

    Args:
        state: what behaviour features go on from.

    Raises:
        InvalidInput: the input cannot be read, what is kept is of another one, of another model or of other options, or
            another process writes the same output.
    """
    of = {
        "input": _looks(source),
        "model": hashlib.sha256(scorer.manifest.model_dump_json().encode()).hexdigest(),
        "number of reasons": str(reasons),
        "state": state,
        "version of NumPy or Polars": f"{np.__version__} {pl.__version__}",
    }
    kept = KeptResults(output.with_name(f".{output.name}.kept"), of)
    done = False
    try:
        yield kept
        done = True
    finally:
        kept.close(done=done)


def _key(chunk: Chunk) -> _Key:
    return int(chunk.lines[0]) if len(chunk.lines) else 0, chunk.frame.height


def _looks(source: Path) -> str:
    """What a file is known again by: size, time of the last change, and how it begins."""
    try:
        with source.open("rb") as file:
            known = os.fstat(file.fileno())
            return f"{known.st_size} {known.st_mtime_ns} {hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()}"
    except OSError as error:
        raise InvalidInput(f"{source}: cannot be read: {error.strerror or type(error).__name__}") from None


def _locked(path: Path) -> int:
    while True:
        try:
            file = try_lock(path)
        except OSError as error:
            raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None
        if file is None:
            raise InvalidInput(f"{path}: another process is writing this output; wait for it, or stop it")
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # the process that had it was done, and has deleted it


def _told(words: list[str]) -> str:
    return " and ".join(f"another {word}" for word in words)
