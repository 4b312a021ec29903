"""Split a stream of CSV bytes into chunks of whole records, as text, in constant memory.

The stream is pushed in (a file is read, an HTTP body arrives) and chunks come out. Plain chunks are parsed by Polars;
a chunk with quoted line breaks, blank lines or a wrong number of cells goes through Python's csv module, which
is slower but knows the exact line of every record.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.plain_csv import count, read_plain, without_trailing
from models.rows import ParsedRows, RowError, at_lines
from models.schema.file_form import PLAIN_FILE, FileForm

#: Bytes of records per chunk, unless otherwise said.
CHUNK_BYTES = 4 << 20
#: The longest record accepted; a stray quotation mark would otherwise swallow the rest of the stream.
MAX_RECORD_BYTES = 16 << 20
MAX_HEADER_COLUMNS = 10_000
_DELIMITERS = b",;\t|"


#: Names some of a header's columns.
Numbers = Callable[[list[str]], Collection[str]]


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of a table.

    Attributes:
        frame: all the table's columns; text for CSV, typed for Parquet. Rows that could not be split are left out.
        lines: int64 [rows of the frame], the line of the file each row starts on (CSV; the header is line 1) or
            its number (Parquet; the first row is 1).
        broken: errors of the rows left out; their ``row`` is a line of the file already.
        text: the rows as lines of CSV, where no cell needs quotation marks; empty where that cannot be said.
        delimiter: of the text.
    """

    frame: pl.DataFrame
    lines: NDArray[np.int64]
    broken: tuple[RowError, ...] = ()
    text: bytes = b""
    delimiter: str = ","

    def as_text(self) -> Chunk:
        """The same rows, with text in place of the numbers that were asked for; itself where there are none."""
        if not self.text or set(self.frame.dtypes) == {pl.String}:
            return self
        frame = read_plain(self.text, self.frame.columns, self.delimiter)
        assert frame is not None
        return replace(self, frame=frame)

    def errors(self, parsed: ParsedRows) -> list[RowError]:
        """Every bad row in order, by its line: those that could not be split and those that parsing refused."""
        return sorted((*self.broken, *at_lines(parsed.errors, self.lines)), key=lambda error: error.row)


class CsvSplitter:
    """Push bytes in with :meth:`feed`, take chunks out; :meth:`finish` gives the last one.

    Args:
        source: the stream's name for messages.
        form: what stands in the file beside the rows; the bytes that are fed are UTF-8 already.
        chunk_bytes: of records per chunk, about.
        numbers: which columns of a header are read as numbers, in chunks where all of their cells are.

    Raises:
        InvalidInput: from feed and finish, for an unusable header or a record that does not end.
    """

    def __init__(
        self,
        source: str,
        form: FileForm = PLAIN_FILE,
        chunk_bytes: int = CHUNK_BYTES,
        numbers: Numbers = lambda _: (),
    ) -> None:
        self.source = source
        self._numbers = numbers
        self._chunk_bytes = chunk_bytes
        self.header: list[str] | None = None
        self.delimiter = ","
        self._form = form
        self._pending = bytearray()
        self._line = 1
        #: Whether a delimiter stands behind the last cell of every row, told by the first block of rows.
        self._trailing: bool | None = None

    def feed(self, data: bytes) -> Iterator[Chunk]:
        """Add bytes and yield the chunks that became complete."""
        self._pending += data
        if len(self._pending) >= self._chunk_bytes:
            cut = self._last_record_end()
            if cut:
                yield from self._chunks(cut)
            elif len(self._pending) > MAX_RECORD_BYTES:
                raise InvalidInput(
                    f"{self.source}: line {self._line}: a record longer than {MAX_RECORD_BYTES >> 20} MiB; "
                    "is a quotation mark unbalanced?"
                )

    def finish(self) -> Iterator[Chunk]:
        """Yield what is left. The stream must have held at least a header."""
        if self._pending and not self._pending.endswith(b"\n"):
            self._pending += b"\n"
        yield from self._chunks(len(self._pending))
        if self.header is None:
            raise InvalidInput(f"{self.source}: the file is empty; expected a CSV with a header line")

    def _last_record_end(self) -> int:
        # A line break is inside a quoted cell if an odd number of quotation marks stands before it. Then the last of
        # these opened the cell, and the record end lies before it. Each byte is counted once.
        text = self._pending
        end = text.rfind(b"\n")
        inside = text.count(b'"', 0, max(end, 0)) % 2
        while end >= 0 and inside:
            opened = text.rfind(b'"', 0, end)
            end = text.rfind(b"\n", 0, opened)
            inside = 1 - text.count(b'"', max(end, 0), opened + 1) % 2
        return end + 1

    def _chunks(self, cut: int) -> Iterator[Chunk]:
        block = bytes(memoryview(self._pending)[:cut])
        del self._pending[:cut]
        if self.header is None and block:
            block = self._take_header(block)
        if block and self.header is not None:
            yield self._parse(block, self.header)

    def _take_header(self, block: bytes) -> bytes:
        block = block.removeprefix(b"\xef\xbb\xbf")
        if block.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in block[: block.index(b"\n") + 1]:
            raise InvalidInput(
                f"{self.source}: the file is UTF-16 or not text; save it as UTF-8, or give the profile a [file] "
                "section with encoding = 'utf-16'"
            )
        line = self._form.header_line
        for _ in range(line - 1):
            if b"\n" not in block:
                raise InvalidInput(
                    f"{self.source}: the file has no line {line}, where the profile's [file] has the header"
                )
            block = block[block.index(b"\n") + 1 :]
        end = block.find(b"\n") + 1
        first = block[:end]
        where = f"{self.source}: line {line}"
        self.delimiter = self._form.delimiter or _delimiter_of(first)
        try:
            rows = list(csv.reader([first.decode("utf-8")], delimiter=self.delimiter, strict=True))
        except UnicodeDecodeError:
            raise InvalidInput(
                f"{where}: the header is not valid UTF-8; save the file as UTF-8, or give the profile a [file] section "
                "with its encoding, e.g. encoding = 'cp1252'"
            ) from None
        except csv.Error:
            raise InvalidInput(f"{where}: the header is not a line of CSV") from None
        header = [name.strip() for name in rows[0]] if rows else []
        if not any(header):
            raise InvalidInput(f"{where}: the header is blank; expected column names")
        if len(header) > MAX_HEADER_COLUMNS:
            raise InvalidInput(f"{where}: more than {MAX_HEADER_COLUMNS} columns")
        while not header[-1] and header.count("") > 1:  # delimiters behind the last name
            header.pop()
        seen: set[str] = set()
        for position, name in enumerate(header, start=1):
            if name in seen:
                raise InvalidInput(
                    f"{where}: column {position} has the name of column {header.index(name) + 1}; "
                    "is this line the header? Where others stand above it, name its line: header_line in the "
                    "profile's [file]"
                )
            seen.add(name)
        self.header = header
        self._line = line + 1
        return block[end:]

    def _parse(self, block: bytes, header: list[str]) -> Chunk:
        first_line = self._line
        self._line += count(block, "\n")
        plain = self._plain(block)
        if plain is not None and self._trailing is not False:
            plain, self._trailing = without_trailing(plain, header, self.delimiter, known=self._trailing)
        if plain is not None:
            for numbers in (self._numbers(header), ()):
                frame = read_plain(plain, header, self.delimiter, numbers)
                if frame is None:
                    break
                lines = np.arange(first_line, first_line + frame.height)
                chunk = _without_empty(Chunk(frame, lines, text=plain, delimiter=self.delimiter))
                if chunk.text or not numbers:  # what is left of a text cannot be read again
                    return chunk
        return self._parse_records(block, header, first_line)

    def _plain(self, block: bytes) -> bytes | None:
        """The block without needless quotation marks and CRs, or None if it needs the csv module."""
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        if b'"' in block:
            d = re.escape(self.delimiter.encode())
            block = re.sub(rb'(?<![^\n%b])"([^"\n%b]*)"(?![^\n%b])' % (d, d, d), rb"\1", block)
        if b'"' in block or b"\r" in block or block.startswith(b"\n") or b"\n\n" in block:
            return None
        return block

    def _parse_records(self, block: bytes, header: list[str], first_line: int) -> Chunk:
        csv.field_size_limit(2**31 - 1)  # a setting of the process; the length of a record is bounded by feed
        text = block.decode("utf-8", errors="surrogateescape")
        reader = csv.reader(io.StringIO(text, newline="\n"), delimiter=self.delimiter, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        broken: list[RowError] = []
        records = list(self._records(reader, first_line))
        whole = [cells for _, cells in records if not isinstance(cells, str) and any(cells)]
        if self._trailing is None and whole:
            self._trailing = all(len(cells) == len(header) + 1 and not cells[-1] for cells in whole)
        for line, cells in records:
            if isinstance(cells, str):
                broken.append(RowError(line, "", cells))
                continue
            if len(cells) > 1 and not any(cells):  # delimiters alone: a blank line of a spreadsheet
                continue
            if self._trailing and len(cells) == len(header) + 1 and not cells[-1]:
                cells.pop()
            if len(cells) != len(header):
                cause = f"{len(cells)} cells, expected {len(header)} as in the header"
                broken.append(RowError(line, "", cause))
            else:
                bad = next((i for i, cell in enumerate(cells) if not _is_utf8(cell)), None)
                if bad is not None:
                    broken.append(RowError(line, header[bad], "not valid UTF-8"))
                else:
                    rows.append(cells)
                    lines.append(line)
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        frame = pl.DataFrame(
            {
                name: pl.Series(column, dtype=pl.String).replace("", None)
                for name, column in zip(header, columns, strict=True)
            }
        )
        return Chunk(frame, np.array(lines, dtype=np.int64), tuple(broken))

    def _records(self, reader: Any, first_line: int) -> Iterator[tuple[int, list[str] | str]]:
        """The first line of each record, and its cells, or what is wrong with it. Blank lines are none."""
        while True:
            line = first_line + reader.line_num
            try:
                cells = next(reader, None)
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise InvalidInput(
                        f"{self.source}: line {line}: a quotation mark opens a cell here and is never closed"
                    ) from None
                yield line, "a quotation mark or line break inside a cell is out of place"
                continue
            if cells is None:
                return
            if cells:
                yield line, cells


def _without_empty(chunk: Chunk) -> Chunk:
    """The plain chunk without rows of delimiters alone: blank lines of a spreadsheet."""
    block, delimiter = chunk.text, chunk.delimiter
    marks = delimiter.encode() * (chunk.frame.width - 1)
    blanks = (b"\n%b\n" % marks, b"\n%b%b\n" % (marks, delimiter.encode()))
    if not marks or not any(blank in block or block.startswith(blank[1:]) for blank in blanks):
        return chunk
    keep = chunk.frame.select(~pl.all_horizontal(pl.all().is_null())).to_series()
    return Chunk(chunk.frame.filter(keep), chunk.lines[keep.to_numpy()])


def _is_utf8(cell: str) -> bool:
    return cell.isascii() or not any("\udc80" <= char <= "\udcff" for char in cell)


def _delimiter_of(header: bytes) -> str:
    """The delimiter that a header line has most of, those inside quotation marks left aside."""
    bare = re.sub(rb'"(?:[^"]|"")*"', b"", header)
    return chr(max(_DELIMITERS, key=bare.count))
