"""A history is whole, in time order and the same whatever files it came in; bad rows are named, a few at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.errors import InvalidInput
from models.rows import FRAUD, LEGITIMATE, UNKNOWN
from models.schema import ScenarioColumn, TransactionSchema
from training.read import History, read_history


@pytest.fixture(scope="module")
def history(tiny_schema: TransactionSchema, tiny_csv: Path) -> History:
    return read_history(tiny_schema, [tiny_csv])


def test_everything_is_there(history: History, tiny_frame: pl.DataFrame) -> None:
    assert len(history) == tiny_frame.height
    np.testing.assert_array_equal(history.numeric[:, 0], tiny_frame["amount"])
    np.testing.assert_array_equal(np.isnan(history.numeric[:, -1]), tiny_frame["account_age_days"].is_null())
    np.testing.assert_array_equal(history.label == FRAUD, tiny_frame["is_fraud"] == 1)
    assert set(history.entity) == {"card_id", "merchant_id"}
    assert history.labelled and history.scenario is not None
    assert history.scenario.is_not_null().sum() == (history.label == FRAUD).sum()


@pytest.mark.parametrize("form", ["parquet", "two files", "shuffled", "semicolons"])
def test_the_files_do_not_matter(
    history: History,
    tiny_schema: TransactionSchema,
    tiny_csv: Path,
    tiny_frame: pl.DataFrame,
    tmp_path: Path,
    form: str,
) -> None:
    table = pl.read_csv(tiny_csv, infer_schema=False)
    files = [tmp_path / "a.csv", tmp_path / "b.csv.gz"]
    if form == "parquet":
        files = [tmp_path / "a.parquet"]
        tiny_frame.write_parquet(files[0])
    elif form == "two files":
        table[700:].write_csv(files[0])
        table[:700].write_csv(files[1], compression="gzip")
    elif form == "shuffled":
        files = files[:1]
        # Rows of equal time keep the order of the file, so only whole seconds may move.
        order = pl.Series(np.random.default_rng(0).permutation(table.height))
        table[order].write_csv(files[0])
    else:
        files = files[:1]
        table.write_csv(files[0], separator=";")
    again = read_history(tiny_schema, files)
    assert again.fingerprint() == history.fingerprint()
    np.testing.assert_array_equal(again.time, history.time)
    assert again.entity["card_id"].to_list() == history.entity["card_id"].to_list()


def test_the_fingerprint_notices_every_value(history: History) -> None:
    one = history.fingerprint()
    numeric, label = history.numeric.copy(), history.label.copy()
    numeric[3, 0] += 0.01
    label[5] = UNKNOWN if label[5] == LEGITIMATE else LEGITIMATE
    assert replace(history, numeric=numeric).fingerprint() != one
    assert replace(history, label=label).fingerprint() != one
    assert history.take(slice(1, None)).fingerprint() != one
    assert history.take(slice(None)).fingerprint() == one


def test_without_a_label_column(tiny_schema: TransactionSchema, tiny_frame: pl.DataFrame, tmp_path: Path) -> None:
    tiny_frame.drop("is_fraud", "fraud_scenario").write_parquet(tmp_path / "t.parquet")
    history = read_history(tiny_schema, [tmp_path / "t.parquet"])
    assert not history.labelled and history.scenario is None
    assert (history.label == UNKNOWN).all()


def test_files_of_different_form(tiny_schema: TransactionSchema, tiny_frame: pl.DataFrame, tmp_path: Path) -> None:
    tiny_frame.write_parquet(tmp_path / "a.parquet")
    tiny_frame.drop("fraud_scenario").write_parquet(tmp_path / "b.parquet")
    tiny_frame.drop("is_fraud").write_parquet(tmp_path / "c.parquet")
    both = read_history(tiny_schema, [tmp_path / "a.parquet", tmp_path / "b.parquet"])
    assert len(both) == 2 * tiny_frame.height and both.scenario is None
    with pytest.raises(InvalidInput, match="some of the files have the label column and some do not"):
        read_history(tiny_schema, [tmp_path / "a.parquet", tmp_path / "c.parquet"])


def test_bad_rows_are_named_a_few_at_a_time(tiny_schema: TransactionSchema, tiny_csv: Path, tmp_path: Path) -> None:
    lines = tiny_csv.read_text().splitlines()
    for number in range(10, 18):
        lines[number - 1] = lines[number - 1].replace("EUR", "SECRET")
    lines[11] += ",more"
    bad = tmp_path / "bad.csv"
    bad.write_text("\n".join(lines))
    with pytest.raises(InvalidInput) as caught:
        read_history(tiny_schema, [tiny_csv, bad])
    message = str(caught.value).splitlines()
    assert message[0] == f"{bad}: rows that cannot be used; correct or remove them, or change the profile:"
    assert message[1] == "  line 10: currency: expected EUR, the only currency this profile knows"
    assert message[3] == "  line 12: 15 cells, expected 14 as in the header"
    assert message[-1] == "  and more in the same part of the file (8 in all)"
    assert len(message) == 7 and "SECRET" not in str(caught.value)


def test_a_header_alone_and_missing_columns(tiny_schema: TransactionSchema, tiny_csv: Path, tmp_path: Path) -> None:
    table = pl.read_csv(tiny_csv, infer_schema=False)
    table[:0].write_csv(tmp_path / "empty.csv")
    with pytest.raises(InvalidInput, match=r"empty\.csv: no rows below the header; expected transactions"):
        read_history(tiny_schema, [tmp_path / "empty.csv"])
    assert len(read_history(tiny_schema, [tmp_path / "empty.csv", tiny_csv])) == table.height
    table.drop("amount", "country").write_csv(tmp_path / "less.csv")
    with pytest.raises(
        InvalidInput, match=r"less\.csv: missing columns country, amount; the table has 12: transaction_id,"
    ):
        read_history(tiny_schema, [tmp_path / "less.csv"])


def test_progress_ends_at_the_end(tiny_schema: TransactionSchema, tiny_csv: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_history(tiny_schema, [tiny_csv, tiny_csv], progress=lambda done, total: seen.append((done, total)))
    size = tiny_csv.stat().st_size
    assert seen == sorted(seen) and seen[-1] == (2 * size, 2 * size)


def test_rows_in_another_order_are_sorted_and_that_is_known(
    tiny_schema: TransactionSchema, tiny_frame: pl.DataFrame, tmp_path: Path
) -> None:
    tiny_frame.write_parquet(tmp_path / "sorted.parquet")
    tiny_frame.reverse().write_parquet(tmp_path / "reversed.parquet")
    sorted_, reversed_ = (read_history(tiny_schema, [tmp_path / f"{name}.parquet"]) for name in ("sorted", "reversed"))
    assert (sorted_.reordered, reversed_.reordered) == (False, True)
    assert (reversed_.time == sorted_.time).all()


def test_a_scenario_may_have_another_name_in_the_table(
    tiny_schema: TransactionSchema, tiny_frame: pl.DataFrame, tmp_path: Path
) -> None:
    columns = {**tiny_schema.columns, "fraud_scenario": ScenarioColumn(**{"from": "kind"})}  # type: ignore[arg-type]
    tiny_frame.rename({"fraud_scenario": "kind"}).write_parquet(tmp_path / "renamed.parquet")
    history = read_history(
        tiny_schema.model_copy(update={"columns": columns}).checked(), [tmp_path / "renamed.parquet"]
    )
    assert history.scenario is not None
    assert set(history.scenario.drop_nulls()) == set(tiny_frame["fraud_scenario"].drop_nulls())
