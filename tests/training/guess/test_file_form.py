"""What stands beside the rows is found (encoding, lines above the header, totals below), and then the table reads."""

from __future__ import annotations

import zipfile
from pathlib import Path

import polars as pl
import pytest

from models.tables import TableReader
from training.guess import guess_profile
from training.guess.file_form import find_file_form

HEADER = "Buchungstag;Händler;Betrag"
ROWS = [f"{1 + i % 28:02d}.0{1 + i // 28}.2026;Händler {i % 9};{i % 7 + 1},50" for i in range(100)]


def read(path: Path) -> pl.DataFrame:
    form, _ = find_file_form(path)
    return pl.concat([chunk.frame for chunk in TableReader(path, form).chunks()])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join([HEADER, *ROWS]).encode(encoding))
    assert read(path).columns == HEADER.split(";") and read(path).height == 100


@pytest.mark.parametrize(
    "above", [[], ["Kontoauszug"], ["Kontoauszug;;", "Nummer 12;;"], ["Bank AG", "", "Zeitraum;01.01.2026"]]
)
@pytest.mark.parametrize("below", [[], ["Summe;;123,00"], ["", ";;", "Total;;9,00"]])
def test_lines_above_and_totals_below(tmp_path: Path, above: list[str], below: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n".join([*above, HEADER, *ROWS, *below]) + "\n", encoding="utf-8")
    frame = read(path)
    assert frame.columns == HEADER.split(";") and frame.height == 100


def test_an_archive_of_one_table(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export/t.csv", "\n".join([HEADER, *ROWS]).encode("cp1252"))
        archive.writestr("__MACOSX/._t.csv", "x")
    assert read(path).height == 100


def test_a_guessed_profile_reads_the_file_it_was_guessed_from(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["Kontoauszug", HEADER, *ROWS, "Summe;;99,00"]).encode("cp1252"))
    found = guess_profile(path)
    assert (found.schema.file.encoding, found.schema.file.header_line, found.schema.file.skip) == (
        "cp1252",
        2,
        ("Summe",),
    )
    assert "1 line above the header" in found.warnings
    assert {c.kind for c in found.schema.columns.values()} == {"timestamp", "entity", "amount"}
