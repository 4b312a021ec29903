"""A guessed profile says what the columns are, leaves out what cannot be a feature, and the table fits it."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.errors import InvalidInput
from models.key_hash import KeyHash
from models.schema import EntityColumn, LabelColumn, TransactionSchema, load_schema, parse_schema
from training.guess import GuessedProfile, guess_profile
from training.read import read_history

ROWS = 400
_random = np.random.default_rng(0)
NUMBERS = _random.normal(size=ROWS).round(4)


def guess(tmp_path: Path, columns: dict[str, Any], *, suffix: str = ".csv", label: str | None = None) -> GuessedProfile:
    """Write a table (a feature is added), guess, and check that the table fits the guess, which is TOML."""
    path = tmp_path / f"my table{suffix}"
    frame = pl.DataFrame({"feature": NUMBERS, **columns}, strict=False)
    if suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    found = guess_profile(path, label=label)
    assert parse_schema(tomllib.loads(found.to_toml()), source="t") == found.schema
    assert len(read_history(found.schema.with_keys(KeyHash(bytes(32))), [path])) == ROWS
    return found


def kinds(schema: TransactionSchema) -> dict[str, str]:
    return {name: column.kind for name, column in schema.columns.items() if column.kind != "ignore"}


def left_out(found: GuessedProfile, name: str) -> str:
    """Why a column was left out."""
    [reason] = [guess.reason for guess in found.left_out if guess.name == name]
    assert name not in kinds(found.schema)
    return reason


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_simulators_table(tiny_frame: pl.DataFrame, tiny_csv: Path, tmp_path: Path, suffix: str) -> None:
    path = tiny_csv
    if suffix == ".parquet":
        path = tmp_path / "payments.parquet"
        tiny_frame.write_parquet(path)
    found = guess_profile(path)
    assert kinds(found.schema) == {
        **{name: column.kind for name, column in load_schema("payments").columns.items()},
        "account_age_days": "numeric",
    }
    assert found.left_out == ()
    assert found.schema.numeric_column("account_age_days").nullable
    assert not found.schema.numeric_column("amount").nullable
    history = read_history(found.schema, [path])
    assert len(history) == tiny_frame.height and history.labelled


def test_a_table_like_ulb(tmp_path: Path) -> None:
    found = guess(
        tmp_path,
        {
            "Time": np.arange(ROWS) // 2,
            **{f"V{i}": _random.normal(size=ROWS) for i in range(1, 29)},
            "Amount": _random.exponential(50, ROWS).round(2),
            "Class": (np.arange(ROWS) % 50 == 0).astype(int),
        },
    )
    ulb = load_schema("ulb")
    assert {k: v for k, v in kinds(found.schema).items() if k != "feature"} == kinds(ulb)
    assert found.schema.columns["Time"] == ulb.columns["Time"].model_copy(update={"description": ""})


def test_a_table_like_the_handbooks(tmp_path: Path) -> None:
    start = datetime(2018, 4, 1)
    found = guess(
        tmp_path,
        {
            "TRANSACTION_ID": np.arange(ROWS),
            "TX_DATETIME": [str(start + timedelta(minutes=7 * i)) for i in range(ROWS)],
            "CUSTOMER_ID": _random.integers(0, 99, ROWS),
            "TERMINAL_ID": _random.integers(0, 99, ROWS),
            "TX_AMOUNT": _random.exponential(50, ROWS).round(2),
            "TX_TIME_SECONDS": np.arange(ROWS) * 420,
            "TX_TIME_DAYS": np.arange(ROWS) // 20,
            "TX_DURING_NIGHT": np.arange(ROWS) % 3 == 0,
            "TX_FRAUD": (np.arange(ROWS) % 40 == 0).astype(int),
            "TX_FRAUD_SCENARIO": np.where(np.arange(ROWS) % 40 == 0, 2, 0),
        },
    )
    assert kinds(found.schema) == {
        "feature": "numeric", "TRANSACTION_ID": "id", "TX_DATETIME": "timestamp", "CUSTOMER_ID": "entity",
        "TERMINAL_ID": "entity", "TX_AMOUNT": "amount", "TX_DURING_NIGHT": "categorical", "TX_FRAUD": "label",
        "TX_FRAUD_SCENARIO": "scenario",
    }  # fmt: skip
    assert "only rises" in left_out(found, "TX_TIME_SECONDS")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_card_numbers_are_hashed(tmp_path: Path, suffix: str) -> None:
    cards = np.array(["4111111111111111", "5555555555554444", "378282246310005"])
    found = guess(
        tmp_path,
        {"card": cards[np.arange(ROWS) % 3], "pan": cards.astype(np.int64)[np.arange(ROWS) % 3]},
        suffix=suffix,
    )
    for name in ("card", "pan"):
        column = found.schema.columns[name]
        assert isinstance(column, EntityColumn) and column.key_hash
    assert "4111" not in found.to_toml()


EPOCH = 1_767_225_600


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (EPOCH + np.arange(ROWS) * 60, "epoch-s"),
        ((EPOCH + np.arange(ROWS) * 60) * 1_000, "epoch-ms"),
        (EPOCH + np.random.default_rng(0).permutation(ROWS) * 60.5, "epoch-s"),
        (np.arange(ROWS) * 3.5, "elapsed-s"),
        ([f"2026-01-31T08:15:{i % 60:02d}Z" for i in range(ROWS)], "iso8601"),
        ([f"2026-01-31 08:15:{i % 60:02d}.5+02:00" for i in range(ROWS)], "iso8601"),
        ([f"2026-01-31T08:15:{i % 60:02d}" for i in range(ROWS)], "iso8601-utc"),
    ],
)
def test_times(tmp_path: Path, cells: Any, form: str) -> None:
    column = guess(tmp_path, {"event_time": cells}).schema.columns["event_time"]
    assert column.kind == "timestamp" and column.format == form
    assert (column.cycles == ()) == (form == "elapsed-s")


@pytest.mark.parametrize(("zone", "form"), [(None, "iso8601-utc"), ("UTC", "iso8601")])
def test_typed_times(tmp_path: Path, zone: str | None, form: str) -> None:
    cells = pl.Series([datetime(2026, 1, 1) + timedelta(minutes=i) for i in range(ROWS)]).dt.replace_time_zone(zone)
    column = guess(tmp_path, {"at": cells}, suffix=".parquet").schema.columns["at"]
    assert column.kind == "timestamp" and column.format == form


def test_only_one_time_orders_the_rows(tmp_path: Path) -> None:
    times = [f"2026-01-31T08:15:{i % 60:02d}Z" for i in range(ROWS)]
    assert "another time" in left_out(guess(tmp_path, {"first": times, "second": times}), "second")


def test_missing_cells(tmp_path: Path) -> None:
    hole = np.arange(ROWS) % 5 == 0
    found = guess(
        tmp_path,
        {
            "empty": [None] * ROWS,
            "number": [None if h else 1.5 * i % 7 for i, h in enumerate(hole)],
            "not_a_number": ["NaN" if h else str(i % 7) for i, h in enumerate(hole)],
            "padded": [f" {i % 9} " for i in range(ROWS)],
            "colour": [None if h else "red" for h in hole],
            "customer": [None if h else f"c{i % 9}" for i, h in enumerate(hole)],
            "event_time": [None if h else float(i) for i, h in enumerate(hole)],
        },
    )
    assert left_out(found, "empty") == "every cell is empty"
    assert found.schema.columns["customer"].kind == "categorical"  # an entity cannot be missing
    for name, nullable in (("number", True), ("not_a_number", True), ("padded", False), ("event_time", True)):
        if name == "event_time":
            assert "only rises" in left_out(found, name)
            continue
        assert found.schema.numeric_column(name).nullable is nullable, name
    colour = found.schema.columns["colour"]
    assert colour.kind == "categorical" and colour.nullable


def test_texts(tmp_path: Path) -> None:
    found = guess(
        tmp_path,
        {
            "note": [f"note {i}" for i in range(ROWS)],
            "long": ["x" * 300 if i % 2 else "y" for i in range(ROWS)],
            "endless": ["x" * 1_500 if i % 2 else "y" for i in range(ROWS)],
            "merchant_id": ["m" * 100 + str(i % 30) for i in range(ROWS)],
            "currency": ["EUR"] * ROWS,
            "country3": ["DEU"] * ROWS,
        },
    )
    assert left_out(found, "note") == "text with more than 200 values"
    assert left_out(found, "country3") == "the same in every row"
    assert left_out(found, "endless") == "text of more than 1000 characters"
    assert kinds(found.schema) == {
        "feature": "numeric", "long": "categorical", "merchant_id": "entity", "currency": "currency",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["", "a\tb", "x" * 129])
def test_columns_that_a_profile_cannot_name_are_left_out(tmp_path: Path, name: str) -> None:
    found = guess(tmp_path, {name: _random.integers(0, 9, ROWS)})
    assert kinds(found.schema) == {"feature": "numeric"}
    assert "cannot name this column" in found.left_out[0].reason


def test_columns_of_other_types_are_left_out(tmp_path: Path) -> None:
    days = pl.Series([datetime(2026, 1, 1) + timedelta(days=i) for i in range(ROWS)])
    found = guess(
        tmp_path,
        {"date": days.cast(pl.Date), "list": [[1]] * ROWS, "bytes": [b"x"] * ROWS, "flag": NUMBERS > 0},
        suffix=".parquet",
    )
    assert kinds(found.schema)["date"] == "timestamp"
    assert left_out(found, "list").startswith("holds List")
    assert left_out(found, "bytes").startswith("holds Binary")


def test_the_label_is_found_by_name_or_said(tmp_path: Path) -> None:
    flags = (np.arange(ROWS) % 20 == 0).astype(int)
    for name in ("is_fraud", "Class", "fraud_label", "TARGET"):
        assert guess(tmp_path, {name: flags}).schema.label == name
    said = guess(tmp_path, {"chargeback": flags, "is_fraud": flags}, label="chargeback")
    assert said.schema.label == "chargeback"
    assert "second label" in left_out(said, "is_fraud")  # as a feature it would give the answer away
    assert guess(tmp_path, {"class": ["gold", "silver"] * (ROWS // 2)}).schema.label is None
    with pytest.raises(
        InvalidInput, match=r"my table\.csv: no column nope to use as the label; the table has feature, x"
    ):
        guess(tmp_path, {"x": flags}, label="nope")


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,note\n" + "".join(f"{i},note {i}\n" for i in range(300)))
    with pytest.raises(InvalidInput, match=r"t\.csv: found no column that can be a feature; write a profile by hand"):
        guess_profile(path)
    path.write_text("a,b\n")
    with pytest.raises(InvalidInput, match=r"t\.csv: no rows below the header"):
        guess_profile(path)


def test_the_name_comes_from_the_file(tmp_path: Path) -> None:
    assert guess(tmp_path, {}).schema.name == "my-table"
    path = tmp_path / "(2026).csv"
    path.write_text("a\n1\n2\n")
    assert guess_profile(path).schema.name == "2026"
    path = tmp_path / "表.csv"
    path.write_text("a\n1\n2\n")
    assert guess_profile(path).schema.name == "table"


@pytest.mark.parametrize(("values", "fraud"), [(("Y", "N"), ("y",)), (("fraud", "legit"), ("fraud",))])
def test_labels_in_words_are_labels(tmp_path: Path, values: tuple[str, str], fraud: tuple[str, ...]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("amount,isFraud\n" + "".join(f"{i},{values[i % 2]}\n" for i in (3, 1, 2, 5, 4)))
    label = guess_profile(path).schema.columns["isFraud"]
    assert isinstance(label, LabelColumn) and label.fraud == fraud


def test_a_label_of_unknown_values_is_never_a_feature(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("amount,is_fraud\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in (3, 1, 2, 5, 4)))
    guess = guess_profile(path)
    assert guess.schema.label is None
    assert "looks like a label of unknown values" in left_out(guess, "is_fraud")
