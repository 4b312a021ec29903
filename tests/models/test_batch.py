"""Batch scoring: the table comes back whole, scored, in order; bad rows are named; nothing half-written stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.annotate import WITHHELD
from models.batch import embed_table, score_table
from models.errors import InvalidInput
from models.parsing import parse_rows
from models.scorer import Scorer


def test_output_is_the_input_plus_scores(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.csv"
    told: list[tuple[int, int, int]] = []
    report = score_table(tiny_scorer, tiny_csv, out, reasons=2, on_progress=lambda *so_far: told.append(so_far))
    before = pl.read_csv(tiny_csv, infer_schema=False)
    after = pl.read_csv(out, infer_schema=False)
    assert after.columns == [
        *before.columns, "score", "reconstruction_error", "is_anomaly", "decision", "reason_1", "reason_2",
    ]  # fmt: skip
    assert after.select(before.columns).equals(before)
    batch = parse_rows(tiny_scorer.schema, before).batch(tiny_scorer.vocabulary)
    np.testing.assert_array_equal(after["score"].cast(pl.Float64), tiny_scorer.score(batch).score)
    assert report.rows == before.height
    assert told[-1] == (tiny_csv.stat().st_size, tiny_csv.stat().st_size, before.height)
    assert report.alerts == (after["is_anomaly"] == "true").sum() > 0


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst", ".parquet"])
def test_every_format_gives_the_same_scores(
    tiny_scorer: Scorer, tiny_frame: pl.DataFrame, tiny_csv: Path, tmp_path: Path, suffix: str
) -> None:
    source = tiny_csv
    if suffix == ".parquet":
        source = tmp_path / "in.parquet"
        tiny_frame.write_parquet(source)
    out, again = tmp_path / f"out{suffix}", tmp_path / "again.csv"
    score_table(tiny_scorer, source, out)
    score_table(tiny_scorer, tiny_csv, again)
    read = pl.read_parquet(out) if suffix == ".parquet" else pl.read_csv(out)
    np.testing.assert_array_equal(read["score"], pl.read_csv(again)["score"])


def _damage(csv: Path, target: Path) -> list[int]:
    """Copy a CSV with three bad lines; their numbers."""
    lines = csv.read_text().splitlines()
    header = lines[0].split(",")
    amount = header.index("amount")
    cells = lines[9].split(",")
    cells[amount] = "4111x"
    lines[9] = ",".join(cells)
    lines[19] += ",one,too,many"
    lines[29] = lines[29].replace("EUR", "USD")
    target.write_text("\n".join(lines) + "\n")
    return [10, 20, 30]


def test_reject_lists_bad_rows_and_scores_the_rest(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    lines = _damage(tiny_csv, bad)
    out = tmp_path / "out.csv"
    report = score_table(tiny_scorer, bad, out, on_error="reject")
    rejects = pl.read_csv(tmp_path / "out.csv.rejects.csv")
    assert rejects["line"].to_list() == lines
    assert rejects["column"].to_list() == ["amount", "", "currency"]
    assert "4111x" not in (tmp_path / "out.csv.rejects.csv").read_text()
    assert report.rejected == 3
    assert pl.read_csv(out).height == report.rows == pl.read_csv(tiny_csv).height - 3


def test_a_later_clean_run_removes_the_old_rejects(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    bad, out = tmp_path / "bad.csv", tmp_path / "out.csv"
    _damage(tiny_csv, bad)
    score_table(tiny_scorer, bad, out, on_error="reject")
    score_table(tiny_scorer, tiny_csv, out, on_error="reject")
    assert not (tmp_path / "out.csv.rejects.csv").exists()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_stop_names_the_first_bad_row_and_leaves_nothing(
    tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    bad = tmp_path / "bad.csv"
    _damage(tiny_csv, bad)
    with pytest.raises(InvalidInput, match=r"bad\.csv: line 10: amount: not a number"):
        score_table(tiny_scorer, bad, folder / f"out{suffix}")
    assert list(folder.iterdir()) == []


def test_a_header_alone_gives_a_header(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "empty.csv", tmp_path / "out.csv"
    source.write_text(tiny_csv.read_text().splitlines()[0] + "\n")
    assert score_table(tiny_scorer, source, out).rows == 0
    assert out.read_text().startswith("transaction_id,")
    assert len(out.read_text().splitlines()) == 1


def test_the_input_is_never_overwritten(tiny_scorer: Scorer, tiny_csv: Path) -> None:
    before = tiny_csv.read_bytes()
    with pytest.raises(InvalidInput, match="is the input itself"):
        score_table(tiny_scorer, tiny_csv, tiny_csv)
    assert tiny_csv.read_bytes() == before


def test_names_in_the_way_are_refused(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    source = tmp_path / "scored.csv"
    score_table(tiny_scorer, tiny_csv, source)
    with pytest.raises(InvalidInput, match="column score"):
        score_table(tiny_scorer, source, tmp_path / "again.csv")


def test_embedding_gives_the_code(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "codes.parquet"
    report = embed_table(tiny_scorer, tiny_csv, out)
    frame = pl.read_parquet(out)
    names = [name for name in frame.columns if name.startswith("code_")]
    assert len(names) == tiny_scorer.manifest.architecture.code_size
    assert frame.height == report.rows
    assert np.isfinite(frame.select(names).to_numpy()).all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_card_numbers_in_columns_nobody_named_are_withheld(
    tiny_scorer: Scorer, tiny_frame: pl.DataFrame, tmp_path: Path, suffix: str
) -> None:
    cards = [4111111111111111, None, 17]
    source, out = tmp_path / "in.parquet", tmp_path / f"out{suffix}"
    extra: dict[str, pl.Series] = {
        "text": pl.Series(["4111 1111 1111 1111", "x", None]),
        "kind": pl.Series(["4111111111111111", "x", None], dtype=pl.Categorical),
        "number": pl.Series(cards),
        "float": pl.Series(cards, dtype=pl.Float64),
        "day": tiny_frame["timestamp"][:3].dt.date(),
    }
    if suffix == ".parquet":
        extra |= {
            "many": pl.Series([[str(card)] for card in cards]),
            "bytes": pl.Series([b"4111111111111111", b"\xff", None]),
        }
    tiny_frame.head(3).with_columns(**extra).write_parquet(source)
    score_table(tiny_scorer, source, out)
    read = pl.read_parquet(out) if suffix == ".parquet" else pl.read_csv(out)
    assert "4111" not in str(read.select(*extra).to_dict(as_series=False))
    assert read["text"].to_list() == [WITHHELD, "x", None]
    assert read["number"].to_list() == [None, None, 17]
    assert read["day"].cast(pl.String).to_list() == extra["day"].cast(pl.String).to_list()


def test_a_table_without_a_header_tells_no_card_number(tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path) -> None:
    lines = tiny_csv.read_text().splitlines()
    source = tmp_path / "in.csv"
    source.write_text(f"{lines[0]},4111111111111111\n{lines[1]},x\n")
    with pytest.raises(InvalidInput, match=r"the name of column \d+ looks like a card number") as caught:
        score_table(tiny_scorer, source, tmp_path / "out.csv")
    assert "4111" not in str(caught.value)


def test_categories_that_are_written_otherwise_than_in_training_are_told(
    tiny_scorer: Scorer, tiny_frame: pl.DataFrame, tmp_path: Path
) -> None:
    tiny_frame.head(200).write_parquet(tmp_path / "same.parquet")
    assert score_table(tiny_scorer, tmp_path / "same.parquet", tmp_path / "out.csv").unfamiliar == ()
    odd = tiny_frame.head(200).with_columns(pl.col("category") + ".0")
    odd.write_parquet(tmp_path / "odd.parquet")
    assert score_table(tiny_scorer, tmp_path / "odd.parquet", tmp_path / "out.csv").unfamiliar == ("category",)


@pytest.mark.parametrize("column", ["amount", "account_age_days", "remark"])
def test_numbers_of_a_file_are_those_of_its_text(
    tiny_scorer: Scorer, tiny_csv: Path, tmp_path: Path, column: str
) -> None:
    """A blank line at the end sends a file through the csv module, where every cell is text."""
    source, out = tmp_path / "in.csv", tmp_path / "out.csv"
    some = pl.read_csv(tiny_csv, infer_schema=False).head(5).with_columns(remark=pl.lit("x"))
    for odd in ["", " 7.50", "0007.5", "7e0", "-1", "1e30", "nan", "inf", "much", "\uff17", "4111111111111111"]:
        some[2, column] = odd
        found = []
        for end in ("", "\n"):
            source.write_text(some.write_csv().replace('""', "") + end)
            try:
                score_table(tiny_scorer, source, out)
                found.append(out.read_bytes())
            except InvalidInput as error:
                found.append(str(error).encode())
            score_table(tiny_scorer, source, out, on_error="reject")
            rejects = tmp_path / "out.csv.rejects.csv"
            found[-1] += out.read_bytes() + (rejects.read_bytes() if rejects.exists() else b"")
        assert found[0] == found[1], odd
