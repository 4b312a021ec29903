"""JSON lines, JSON arrays, Excel workbooks and archives come in as the cells of a CSV do."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from models.errors import InvalidInput
from models.schema import FileForm
from models.tables import TableReader

OBJECTS: list[dict[str, Any]] = [
    {"id": "a", "amount": 12.5, "mcc": 5411, "present": True, "card": {"country": "DE", "bin": None}},
    {
        "id": "b",
        "amount": 7,
        "mcc": 5812,
        "present": False,
        "card": {"country": "FR"},
        "note": "late",
        "tags": [1, "x"],
    },
]
ROWS = [
    {"id": "a", "amount": "12.5", "mcc": "5411", "present": "true", "card.country": "DE", "card.bin": None,
     "note": None, "tags": None},
    {"id": "b", "amount": "7", "mcc": "5812", "present": "false", "card.country": "FR", "card.bin": None,
     "note": "late", "tags": '[1,"x"]'},
]  # fmt: skip


def read(path: Path, form: FileForm | None = None) -> tuple[list[dict[str, Any]], list[int], list[int]]:
    """Rows, the lines they stand on, and the lines of what is none."""
    reader = TableReader(path, form or FileForm())
    chunks = list(reader.chunks())
    assert all(chunk.frame.columns == reader.columns for chunk in chunks)
    rows = [row for chunk in chunks for row in chunk.frame.to_dicts()]
    lines = [line for chunk in chunks for line in chunk.lines.tolist()]
    return rows, lines, [error.row for chunk in chunks for error in chunk.broken]


def test_json_lines(tmp_path: Path) -> None:
    text = f"{json.dumps(OBJECTS[0])}\n\n{json.dumps(OBJECTS[1])}\nno json\n[1]\n"
    (tmp_path / "t.jsonl").write_text(text)
    assert read(tmp_path / "t.jsonl") == (ROWS, [1, 3], [4, 5])
    (tmp_path / "t.ndjson.gz").write_bytes(gzip.compress(text.encode()))
    assert read(tmp_path / "t.ndjson.gz") == (ROWS, [1, 3], [4, 5])
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("t.jsonl", text)
    assert read(tmp_path / "t.zip") == (ROWS, [1, 3], [4, 5])


@pytest.mark.parametrize("whole", [OBJECTS, {"transactions": OBJECTS}])
def test_json_arrays(tmp_path: Path, whole: object) -> None:
    (tmp_path / "t.json").write_text(json.dumps(whole, indent=1))
    assert read(tmp_path / "t.json") == (ROWS, [1, 2], [])


def test_a_field_that_only_later_objects_have_is_a_column(tmp_path: Path) -> None:
    lines = [json.dumps({"a": i}) for i in range(30_000)] + [json.dumps({"a": 1, "late": "x"})]
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    rows, _, _ = read(tmp_path / "t.jsonl")
    assert rows[0] == {"a": "0", "late": None} and rows[-1] == {"a": "1", "late": "x"}


def test_excel(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"at": [datetime(2026, 1, 31, 8, 15)] * 2, "mcc": [5411, 5812], "amount": [12.5, 7.0], "who": ["x", None]}
    )
    frame.write_excel(tmp_path / "t.xlsx", worksheet="Payments", position="A3")
    expected = [
        {"at": "2026-01-31 08:15:00", "mcc": "5411", "amount": "12.5", "who": "x"},
        {"at": "2026-01-31 08:15:00", "mcc": "5812", "amount": "7", "who": None},
    ]
    # fastexcel leaves the blank rows above out; the header is the first row that holds something.
    rows, _, _ = read(tmp_path / "t.xlsx", FileForm(sheet="Payments"))
    assert rows == expected
    with pytest.raises(InvalidInput, match="no sheet of the name"):
        TableReader(tmp_path / "t.xlsx", FileForm(sheet="Other"))


def test_archives_of_no_or_of_many_tables_are_refused(tmp_path: Path) -> None:
    for names, told in (((), "holds no tables"), (("a.csv", "b.csv"), "holds 2 tables")):
        with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
            for name in names:
                archive.writestr(name, "a\n1\n")
        with pytest.raises(InvalidInput, match=told):
            TableReader(tmp_path / "t.zip")


def test_the_wrong_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("name\nMüller\n".encode("cp1252") + b"\x81\n")
    with pytest.raises(InvalidInput, match="the text is not cp1252 throughout"):
        read(tmp_path / "t.csv", FileForm(encoding="cp1252"))
