"""Any CSV cut anywhere comes back whole, with the line each record starts on; what cannot be split is named."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.csv_stream import CHUNK_BYTES, Chunk, CsvSplitter
from models.errors import InvalidInput
from models.tables import csv_bytes, widened_lines

_CELL = st.text(st.sampled_from('ab1 \t,;|"\n\r\x00\x01xé€😀\ufeff\u2028'), max_size=6)
_PLAIN_CELL = st.text(st.sampled_from("ab1 .-x€\ufeff\x01"), max_size=4)


@dataclass
class Read:
    """All chunks of a stream put together; empty cells are None."""

    rows: list[tuple[str | None, ...]]
    lines: list[int]
    broken: list[tuple[int, str, str]]
    chunks: int


def read(*pieces: bytes, chunk_bytes: int = CHUNK_BYTES) -> Read:
    """Feed the pieces to a splitter."""
    splitter = CsvSplitter("t.csv", chunk_bytes=chunk_bytes)

    def chunks() -> Iterator[Chunk]:
        for piece in pieces:
            yield from splitter.feed(piece)
        yield from splitter.finish()

    result = Read([], [], [], 0)
    for chunk in chunks():
        assert splitter.header is not None and chunk.frame.columns == splitter.header
        assert chunk.frame.height == len(chunk.lines)
        result.rows += chunk.frame.rows()
        result.lines += chunk.lines.tolist()
        result.broken += [(error.row, error.column, error.cause) for error in chunk.broken]
        result.chunks += 1
    return result


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[list[str]], list[int], list[bytes]]:
    """A table, the line each of its records starts on, and its bytes cut into pieces."""
    width = draw(st.integers(1, 4))
    delimiter = draw(st.sampled_from(",;\t|")) if width > 1 else ","
    end = draw(st.sampled_from(["\n", "\r\n"]))
    everything = draw(st.booleans())
    cell = draw(st.sampled_from([_CELL, _PLAIN_CELL]))
    rows = draw(st.lists(st.lists(cell, min_size=width, max_size=width), max_size=8))
    # Python before 3.13 leaves a CR bare where lines end with LF: no such cell could be told from the end of a line.
    everything |= any("\r" in cell for row in rows for cell in row)
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    )
    writer.writerow([f"h{i}" for i in range(width)])
    starts = []
    for row in rows:
        starts.append(1 + text.getvalue().count("\n"))
        writer.writerow(row)
    data = draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.getvalue().encode()
    if draw(st.booleans()):
        data = data.removesuffix(end.encode())
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=5)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return rows, starts, pieces


def blank(row: list[str]) -> bool:
    """Whether a row is delimiters alone, as the blank lines of a spreadsheet are."""
    return len(row) > 1 and not any(row)


@given(streams())
def test_a_table_comes_back_whole(stream: tuple[list[list[str]], list[int], list[bytes]]) -> None:
    rows, starts, pieces = stream
    result = read(*pieces, chunk_bytes=16)
    assert result.broken == []
    kept = [number for number, row in enumerate(rows) if not blank(row)]
    assert result.rows == [tuple(cell or None for cell in rows[number]) for number in kept]
    assert result.lines == [starts[number] for number in kept]


@given(streams())
def test_lines_with_further_cells_are_what_all_cells_are(
    stream: tuple[list[list[str]], list[int], list[bytes]],
) -> None:
    splitter = CsvSplitter("t.csv", chunk_bytes=16)
    for chunk in [*chain.from_iterable(map(splitter.feed, stream[2])), *splitter.finish()]:
        for word in ("approve", 'say "yes"'):
            rows = chunk.frame.height
            added = pl.DataFrame({"score": np.arange(rows) / 7, "decision": pl.repeat(word, rows, eager=True)})
            lines = widened_lines(chunk.text, added, splitter.delimiter)
            if not chunk.text or b"\0" in chunk.text or word != "approve":
                assert lines is None
            else:
                assert lines == csv_bytes(chunk.frame.hstack(added), header=False, delimiter=splitter.delimiter)


@given(st.lists(st.lists(_PLAIN_CELL, min_size=1, max_size=5), max_size=10), st.integers(0, 60))
def test_ragged_rows_are_named_and_the_others_kept(rows: list[list[str]], cut: int) -> None:
    rows = [row if len(row) > 1 else [row[0] or "x"] for row in rows]  # a lone empty cell is a blank line
    data = ("a,b,c\n" + "".join(",".join(row) + "\n" for row in rows)).encode()
    result = read(data[:cut], data[cut:])
    if all(len(row) == 4 and not row[-1] for row in rows if not blank(row)):  # a delimiter behind every last cell
        rows = [row[:3] for row in rows]
    good = [number for number, row in enumerate(rows) if len(row) == 3 and not blank(row)]
    assert result.rows == [tuple(cell or None for cell in rows[number]) for number in good]
    assert result.lines == [number + 2 for number in good]
    assert result.broken == [
        (number + 2, "", f"{len(row)} cells, expected 3 as in the header")
        for number, row in enumerate(rows)
        if len(row) != 3 and not blank(row)
    ]


@given(st.lists(st.lists(_PLAIN_CELL, min_size=2, max_size=2), min_size=1, max_size=6))
def test_both_parsers_agree(rows: list[list[str]]) -> None:
    plain = ("a,b\n" + "".join(",".join(row) + "\n" for row in rows)).encode()
    # A blank line at the end sends the block through the csv module.
    kept = [tuple(cell or None for cell in row) for row in rows if not blank(row)]
    assert read(plain).rows == read(plain + b"\n").rows == kept


def test_delimiters_behind_the_last_cell_are_no_cells() -> None:
    assert read(b"a,b\n1,2,\n3,4,\n").rows == read(b'a,b\n1,"2",\n"3",4,\n').rows == [("1", "2"), ("3", "4")]
    assert read(b"a,b\n1,2,\n3,4\n").broken == [(2, "", "3 cells, expected 2 as in the header")]  # in one row: a fault
    assert read(b"a,b,,\n1,2,,\n").rows == [("1", "2", None)]  # one nameless column is carried along, as ever


def test_blank_lines_are_skipped_and_counted() -> None:
    result = read(b"a,b\n\n1,2\n\n\r\n3,4\n")
    assert (result.rows, result.lines) == ([("1", "2"), ("3", "4")], [3, 6])


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b'"\xff\n"'])
def test_invalid_utf8_is_named_by_line_and_column(bad: bytes) -> None:
    result = read(b"a,b\n1,2\n3," + bad + b"\n5,6\n")
    assert result.broken == [(3, "b", "not valid UTF-8")]
    assert result.rows == [("1", "2"), ("5", "6")]
    assert result.lines == [2, 4 + bad.count(b"\n")]


@pytest.mark.parametrize("bad", ['"x"y', '"x" ', "x\ry", '"x"y"z"'])
def test_a_quotation_mark_out_of_place_is_named(bad: str) -> None:
    result = read(f"a,b\n1,{bad}\n3,4\n".encode())
    assert result.broken == [(2, "", "a quotation mark or line break inside a cell is out of place")]
    assert (result.rows, result.lines) == ([("3", "4")], [3])


def test_a_quotation_mark_inside_plain_text_is_text() -> None:
    assert read(b'a,b\n1,5" pipe\n2,x\n').rows == [("1", '5" pipe'), ("2", "x")]


def test_a_quotation_mark_never_closed_does_not_swallow_the_rest() -> None:
    with pytest.raises(InvalidInput, match=r"t\.csv: line 3: a quotation mark opens a cell here and is never closed"):
        read(b'a,b\n1,2\n3,"4\n5,6\n7,8\n')


def test_a_record_has_a_limit() -> None:
    piece = b"x\n" * (1 << 19)
    with pytest.raises(
        InvalidInput, match=r"t\.csv: line 3: a record longer than 16 MiB; is a quotation mark unbalanced"
    ):
        read(b'a,b\n1,2\n3,"', *[piece] * 20, chunk_bytes=1 << 20)
    result = read(b'a,b\n1,2\n3,"', *[piece] * 14, b'"\n5,6\n', chunk_bytes=1 << 20)
    assert result.lines == [2, 3, 4 + 14 * (1 << 19)]


def test_ten_million_characters_in_a_cell() -> None:
    assert read(b"a,b\n1," + b"x" * 10_000_000 + b"\n2,y\n").rows[0][1] == "x" * 10_000_000


def test_chunks_are_bounded() -> None:
    line = b"12345678,abcdefgh\n"
    pieces = [line * 20_000] * 40  # 14 MB
    assert read(b"a,b\n", *pieces).chunks == 4


HEADERS = [
    (b"", "the file is empty"),
    (b"\xef\xbb\xbf", "line 1: the header is blank"),
    (b"\n1,2\n", "line 1: the header is blank"),
    (b" , \n", "line 1: the header is blank"),
    (b"a,b,a\n", r"line 1: column 3 has the name of column 1; is this line the header\?"),
    (b"a,,,b\n", r"line 1: column 3 has the name of column 2; is this line the header\?"),
    (
        b"4111111111111111,4111111111111111\n",
        r"line 1: column 2 has the name of column 1; is this line the header\? Where others stand above it",
    ),
    (b'"a\nb",c\n', "line 1: the header is not a line of CSV"),
    (b"a,\xff\n1,2\n", "line 1: the header is not valid UTF-8"),
    ("a,b\n1,2\n".encode("utf-16"), "the file is UTF-16"),
    ("a,b\n1,2\n".encode("utf-16-le"), "the file is UTF-16"),
    (",".join(map(str, range(10_001))).encode(), "line 1: more than 10000 columns"),
]


@pytest.mark.parametrize(("data", "message"), HEADERS)
def test_an_unusable_header_is_named(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^t\.csv: {message}"):
        read(data)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    splitter = CsvSplitter("t.csv")
    list(splitter.feed(f" a {delimiter}b\n1{delimiter}2\n".encode()))
    [chunk] = splitter.finish()
    assert splitter.delimiter == delimiter
    assert splitter.header == ["a", "b"]
    assert chunk.frame.rows() == [("1", "2")]


def test_delimiters_inside_quoted_names_are_not_counted() -> None:
    assert read(b'"a, b, c";"d, ""e"""\n1;2\n').rows == [("1", "2")]


def test_a_header_alone_gives_no_rows() -> None:
    assert read(b"a,b").rows == read(b"a,b\n").rows == []
