"""Tables on disk: every format there and back, damage named."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import zstandard

from models.aside import written_aside
from models.errors import InvalidInput
from models.tables import WRITTEN, TableReader, expand, table_kind, write_frames

ROWS = 150_000


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Enough rows for several chunks of every format."""
    random = np.random.default_rng(0)
    return pl.DataFrame({"number": random.normal(size=ROWS), "name": [f"näme {i}" for i in range(ROWS)]})


def read(path: Path) -> tuple[pl.DataFrame, list[int]]:
    """The whole table and its line numbers."""
    chunks = list(TableReader(path).chunks())
    return pl.concat([chunk.frame for chunk in chunks]), [line for chunk in chunks for line in chunk.lines.tolist()]


def parts(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The frame in three pieces."""
    yield from (frame[:10], frame[10:100_000], frame[100_000:])


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_there_and_back(frame: pl.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_frames(path, parts(frame), delimiter=";")
    again, lines = read(path)
    assert again.with_columns(pl.col("number").cast(pl.Float64)).equals(frame)
    first = 1 if suffix == ".parquet" else 2
    assert lines == list(range(first, ROWS + first))
    reader = TableReader(path)
    assert reader.columns == ["number", "name"]
    positions = [reader.position for _ in reader.chunks()]
    assert positions == sorted(positions) and 0 < positions[-1] <= reader.size


@pytest.mark.parametrize("suffix", WRITTEN)
def test_the_same_frames_give_the_same_bytes(frame: pl.DataFrame, tmp_path: Path, suffix: str) -> None:
    one, other = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    write_frames(one, parts(frame))
    write_frames(other, parts(frame))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
def test_compressed_files_put_together_are_read_to_the_end(tmp_path: Path, suffix: str) -> None:
    squeeze = gzip.compress if suffix == ".csv.gz" else zstandard.compress
    path = tmp_path / f"t{suffix}"
    path.write_bytes(squeeze(b"a,b\n1,2\n") + squeeze(b"") + squeeze(b"3,4\n"))
    assert read(path)[0].rows() == [("1", "2"), ("3", "4")]


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_a_compressed_file_cut_off_is_damaged(frame: pl.DataFrame, tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"t{suffix}"
    write_frames(path, parts(frame))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InvalidInput, match=r"t\.csv\.\w+: the compressed data is damaged or cut off"):
        read(path)


@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst"])
def test_a_flipped_byte_is_damage(frame: pl.DataFrame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_frames(path, parts(frame))
    data = path.read_bytes()
    for place in (3, 5_000, len(data) // 2, len(data) - 2):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        with pytest.raises(InvalidInput, match="damaged or cut off"):
            read(path)


@pytest.mark.parametrize("keep", [4, 1_000, 0.5, 0.999])
def test_a_parquet_file_cut_off_is_unreadable(frame: pl.DataFrame, tmp_path: Path, keep: float) -> None:
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(InvalidInput, match=r"t\.parquet: not a readable Parquet file"):
        read(path)


def test_a_damaged_parquet_page_is_named(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame.write_parquet(path)
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"t\.parquet: damaged after row 0"):
        read(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("t.parquet", b"", "the file is empty"),
        ("t.parquet", b"a,b\n1,2\n", "not a readable Parquet file"),
        ("t.csv.gz", b"a,b\n1,2\n", "the compressed data is damaged"),
        ("t.csv.zst", b"a,b\n1,2\n", "the compressed data is damaged"),
        ("t.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "UTF"),
        ("t.xls", b"x", r"unknown kind of file; expected one of \.csv, \.tsv, "),
        ("t.xlsx", b"x", "not a readable Excel workbook"),
        ("t.zip", b"x", "not a readable \\.zip archive"),
        ("t.jsonl", b"x\n", "holds no JSON object"),
        ("t.json", b"[", "not valid JSON"),
        ("t.json", b"1", "expected an array of objects"),
    ],
)
def test_a_file_that_is_not_what_it_says(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"{name}: .*{message}"):
        read(path)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"t\.csv: cannot be read: No such file"):
        TableReader(tmp_path / "t.csv")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InvalidInput, match=r"d\.csv: cannot be read: Is a directory"):
        TableReader(tmp_path / "d.csv")


def test_names_and_globs(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "[x].csv", "c.parquet", "n.doc"):
        (tmp_path / name).write_text("a\n")
    found = expand([f"{tmp_path}/[ab].csv", f"{tmp_path}/[x].csv", f"{tmp_path}/c.*"])
    assert [path.name for path in found] == ["a.csv", "b.csv", "[x].csv", "c.parquet"]
    with pytest.raises(InvalidInput, match=r"z\*\.csv: no such file"):
        expand([f"{tmp_path}/z*.csv"])
    with pytest.raises(InvalidInput, match=r"n\.doc: unknown kind of file"):
        expand([f"{tmp_path}/n*"])
    (tmp_path / "d").mkdir()
    with pytest.raises(InvalidInput, match=r"d: the folder holds no tables"):
        expand([f"{tmp_path}/d"])
    for name in ("2.csv", "1.parquet", ".hidden.csv", "README"):
        (tmp_path / "d" / name).write_text("a\n")
    assert [path.name for path in expand([f"{tmp_path}/d"])] == ["1.parquet", "2.csv"]


def test_the_kind_ignores_case_and_wants_the_whole_suffix() -> None:
    assert table_kind(Path("A.CSV.GZ")) == ".csv.gz"
    with pytest.raises(InvalidInput):
        table_kind(Path("a.gz"))


@pytest.mark.parametrize("suffix", WRITTEN)
def test_a_failing_source_reaches_the_caller(frame: pl.DataFrame, tmp_path: Path, suffix: str) -> None:
    def failing() -> Iterator[pl.DataFrame]:
        yield frame[:10]
        raise InvalidInput("row 11 is bad")

    with pytest.raises(InvalidInput, match=r"^row 11 is bad$"), written_aside(tmp_path / "t") as aside:
        write_frames(aside, failing(), kind=suffix)
    assert list(tmp_path.iterdir()) == []
