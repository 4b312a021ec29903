"""What stands in a file beside its rows: its encoding, lines above the header, totals below the rows."""

from __future__ import annotations

import codecs
import csv
import re
from pathlib import Path

from models.errors import InvalidInput
from models.schema import FileForm
from models.tables import table_kind
from models.tables.streams import DAMAGED, text_kind

_LOOKED_AT, _MOST_ABOVE, _COMPARED, _MOSTLY = 1 << 20, 40, 20, 0.5
#: Letters and signs of everyday text: of Chinese, of Japanese.
_COMMON = (("\u4e00", "\u9fff"), ("\u3000", "\u303f"), ("\uff00", "\uff60"), ("¥", "¥"), ("\u2010", "\u2027"))
_USUAL = {"cp932": (*_COMMON, ("\u3040", "\u30ff")), "gb18030": _COMMON}
_IN_RUNS, _FEWEST_BYTES = 0.6, 16
_TOLD = {"cp932": "Japanese Shift JIS", "gb18030": "Chinese GB 18030"}
_DELIMITERS = ",;\t|"
_TOTALS = ("total", "grand total", "sum", "summe", "gesamt", "subtotal", "saldo", "totale", "suma")


def find_file_form(path: Path) -> tuple[FileForm, list[str]]:
    """How a file is written, and what of it is out of the usual, in words.

    Raises:
        InvalidInput: it cannot be opened, or its archive holds no table.
    """
    kind = table_kind(path)
    if kind in (".parquet", ".xlsx"):
        return FileForm(), []
    try:
        with path.open("rb") as raw:
            stream, kind = text_kind(raw, kind, str(path))
            data = stream.read(_LOOKED_AT)
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except DAMAGED:
        raise InvalidInput(f"{path}: the compressed data is damaged or cut off") from None
    encoding, told = _encoding(data)
    if kind in (".jsonl", ".ndjson", ".json"):
        return FileForm(encoding=encoding), told
    lines = data.decode(encoding, errors="ignore").splitlines()
    whole = len(data) < _LOOKED_AT
    above = _lines_above(lines if whole else lines[:-1])
    if above:
        told.append(f"{above} line{'s' if above > 1 else ''} above the header")
    skip = _totals(_tail(path, kind, encoding) or lines)
    if skip:
        told.append(f"rows that begin with {', '.join(skip)} are no payments")
    return FileForm(encoding=encoding, header_line=above + 1, skip=tuple(skip)), told


def _encoding(data: bytes) -> tuple[str, list[str]]:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", ["written in UTF-16"]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        if asian := _of_two_bytes(data):
            return asian, [f"written in {_TOLD[asian]}, not in UTF-8"]
        try:
            data.decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1", ["written in Latin-1"]
        return "cp1252", ["written in Windows-1252 (Latin-1 and more), not in UTF-8"]
    return "utf-8", []


def _of_two_bytes(data: bytes) -> str | None:
    """The encoding of Chinese or Japanese text, whose bytes beyond ASCII come in runs; those of accents stand alone."""
    runs = re.findall(rb"[\x80-\xff][\x40-\xff]*[\x80-\xff]|[\x80-\xff]", data)
    if sum(len(run) for run in runs if len(run) > 1) < _IN_RUNS * max(sum(map(len, runs)), _FEWEST_BYTES):
        return None
    for encoding, ranges in _USUAL.items():
        text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(data)
        beyond = [character for character in text if character > "\x7f"]
        if sum(any(low <= character <= high for low, high in ranges) for character in beyond) > 0.9 * len(beyond):
            return encoding
    return None


def _lines_above(lines: list[str]) -> int:
    """How many lines stand above the header: those with other numbers of cells than the rows that follow."""
    some = lines[: _MOST_ABOVE + _COMPARED]
    rows = [line for line in some[1:] if line.strip()]
    if len(rows) < 2:
        return 0
    delimiter = max(_DELIMITERS, key=lambda mark: _agreement([_cells(row, mark) for row in rows]))
    counts = [_cells(line, delimiter) for line in some]
    if (
        counts and counts[0] > 2 and _filled(some[0], delimiter) < 2
    ):  # a title that a spreadsheet filled up with delimiters
        counts = [count if _filled(line, delimiter) > 1 else 0 for line, count in zip(some, counts, strict=True)]
    usual = sorted(counts[len(counts) // 2 :])[len(counts[len(counts) // 2 :]) // 2]
    if usual < 2:
        return 0
    first = next((i for i, count in enumerate(counts) if count == usual), 0)
    # A row of fewer cells further up than the header is no reason where the header itself has fewer: a broken table.
    return first if 0 < first <= _MOST_ABOVE and all(count < usual for count in counts[:first]) else 0


def _agreement(counts: list[int]) -> tuple[bool, float, int]:
    """How well a delimiter divides rows: whether it does, how many rows have the usual number of cells, and which."""
    usual = max(set(counts), key=lambda count: (counts.count(count), count))
    share = counts.count(usual) / len(counts)
    return usual > 1 and share > _MOSTLY, share, sorted(counts)[len(counts) // 2]


def _cells(line: str, delimiter: str) -> int:
    return len(_row(line, delimiter))


def _filled(line: str, delimiter: str) -> int:
    return sum(bool(cell.strip()) for cell in _row(line, delimiter))


def _row(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _tail(path: Path, kind: str, encoding: str) -> list[str]:
    """The last lines of a plain file."""
    if table_kind(path) != kind or encoding == "utf-16":
        return []
    with path.open("rb") as raw:
        raw.seek(max(0, path.stat().st_size - 4_096))
        return raw.read().decode(encoding, errors="ignore").splitlines()


def _totals(lines: list[str]) -> list[str]:
    """How the first cell of the rows begins that stand below the last payment and sum up."""
    found: list[str] = []
    for line in lines[-5:]:
        word = re.match(r'^"?\s*([A-Za-z][A-Za-z ]*?)\s*"?\s*[:,;\t|0-9]', line)
        if word and word[1].lower() in _TOTALS and word[1] not in found:
            found.append(word[1])
    return found
