"""Bytes of a table's text: decompressed, taken out of an archive, and made UTF-8."""

from __future__ import annotations

import codecs
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, Protocol

import zstandard

from models.errors import InvalidInput
from models.tables.kinds import member_kind

_READ_BYTES = 1 << 20
#: What reading compressed data raises where it is no such data, or not all of it.
DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile, zstandard.ZstdError)


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


def text_kind(raw: IO[bytes], kind: str, source: str) -> tuple[_Reads, str]:
    """The bytes as they were before they were packed, and of which kind they are: ``.csv``, ``.jsonl`` …

    Raises:
        InvalidInput: an archive without exactly one table.
    """
    if kind == ".zip":
        try:
            archive = zipfile.ZipFile(raw)
            name, kind = member_kind(archive.namelist(), source)
            return archive.open(name), kind
        except (zipfile.BadZipFile, NotImplementedError):
            raise InvalidInput(f"{source}: not a readable .zip archive") from None
        except RuntimeError:
            raise InvalidInput(f"{source}: the archive is encrypted: unpack it") from None
    if kind.endswith(".gz"):
        return gzip.GzipFile(fileobj=raw), kind.removesuffix(".gz")
    if kind.endswith(".zst"):
        return _ZstdReader(raw), kind.removesuffix(".zst")
    return raw, kind


class Utf8Decoder:
    """Makes UTF-8 of text in another encoding, piece by piece.

    Raises:
        InvalidInput: from both methods: it is not of the encoding.
    """

    def __init__(self, encoding: str, source: str) -> None:
        self._decoder = None if codecs.lookup(encoding).name == "utf-8" else codecs.getincrementaldecoder(encoding)()
        self._told = f"{source}: the text is not {encoding} throughout, as the profile's [file] says"

    def decode(self, data: bytes) -> bytes:
        """The next bytes as UTF-8."""
        if self._decoder is None:
            return data  # the splitter names the line that is not UTF-8
        try:
            return self._decoder.decode(data).encode()
        except UnicodeError:
            raise InvalidInput(self._told) from None

    def finish(self) -> None:
        """Check that no character is cut off at the end."""
        try:
            if self._decoder is not None:
                self._decoder.decode(b"", final=True)
        except UnicodeError:
            raise InvalidInput(self._told) from None


def utf8_pieces(stream: _Reads, encoding: str, source: str) -> Iterator[bytes]:
    """The stream in pieces of UTF-8.

    Raises:
        InvalidInput: it is cut off or damaged, or not of the encoding.
    """
    decoder = Utf8Decoder(encoding, source)
    try:
        while data := stream.read(_READ_BYTES):
            yield decoder.decode(data)
    except DAMAGED:
        raise InvalidInput(f"{source}: the compressed data is damaged or cut off") from None
    decoder.finish()


class _ZstdReader:
    """Decompressed bytes of consecutive frames. ``zstandard``'s own reader takes a file cut off for a whole one."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._rest = b""

    def read(self, size: int, /) -> bytes:
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
