"""Exports: every decision that passes the filter, numbers to the last bit, no text that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.decisions.export import csv_parts, frames, spreadsheet_safe
from app.service import create_app
from app.settings import Settings
from app.store.contract import Store
from app.store.open import open_store
from app.store.query import Filter
from app.store.records import Decision
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer
from tests.app.calls import Client
from tests.app.decisions.test_decisions import ask
from tests.app.store.events import append, decision, label
from tests.command_line import Cli

#: Of what cells are made that spreadsheets run.
NASTY = st.text(st.sampled_from("=+-@\t\r\n '\"\u200b\ufeff\uff1d,;0aA1(|"), max_size=8)
TEXT = NASTY | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: Columns that are text; the others are numbers, truth values and times.
TEXTS = ("transaction_id", "decision", "model_version", "caller", "label", "reasons", "transaction")
NUMBERS = ("score", "threshold", "reconstruction_error")


@pytest.fixture
def store(own_store: str) -> Any:
    found = open_store(own_store)
    yield found
    found.close()


def made(name: str | None, reasons: list[str], **changes: Any) -> Decision:
    """A decision whose texts could be anything."""
    changes = {"body": '{"transaction_id": "=1+1", "amount": -1.5, "timestamp": 7}', **changes}
    return decision(name, reply=json.dumps({"reasons": [{"text": text} for text in reasons]}).encode(), **changes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.builds(
            made,
            st.none(),
            st.lists(TEXT, max_size=2),
            score=NUMBER,
            threshold=NUMBER,
            error=NUMBER,
            decision=TEXT,
            model_version=TEXT,
            caller=st.none() | TEXT,
            arrived_at=st.integers(0, 253_402_300_799_999_999),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_no_text_of_a_csv_is_a_formula_and_numbers_come_back(store: Store, rows: list[Decision]) -> None:
    before = store.last_seq()
    append(store, *rows)
    whole = b"".join(csv_parts(frames(store, Filter(), load_schema("payments")))).decode()
    cells = [row for row in csv.DictReader(io.StringIO(whole, newline="")) if int(row["seq"]) > before][::-1]
    assert len(cells) == len(rows)
    for row, one in zip(cells, rows, strict=True):
        assert not any(row[name].startswith(SIGNS) or row[name].lstrip().startswith(SIGNS) for name in TEXTS)
        assert [float(row[name]) for name in NUMBERS] == [one.score, one.threshold, one.error]
        for name, text in (("decision", one.decision), ("model_version", one.model_version), ("caller", one.caller)):
            assert row[name] in (text or "", f"'{text}")
        assert json.loads(row["transaction"])["amount"] == -1.5


def test_harmless_texts_and_numbers_are_left_alone() -> None:
    frame = pl.DataFrame(
        {"text": ["a=1", "'=1", "", None, "2026", "ü-"], "number": [-1.5, 1e-300, 0.1, -0.0, 1e22, 5.0]}
    )
    assert spreadsheet_safe(frame).equals(frame)
    assert spreadsheet_safe(pl.DataFrame({"text": ["=1", " +1", "\u200b@x", "-5"]}))["text"].to_list() == [
        "'=1",
        "' +1",
        "'\u200b@x",
        "'-5",
    ]


@pytest.fixture
def exporting(tiny_model: Path, tiny_scorer: Scorer, own_store: str) -> Any:
    """An application with 2,500 decisions: three pages of them."""
    first = open_store(own_store)
    append(first, *(made(f"t{i}", ["=1+1"], score=i / 5_000, arrived_at=i) for i in range(2_500)))
    append(first, label("t7", "fraud", known_at=1_000_001))
    first.close()
    app = create_app(Settings(artifacts=tiny_model.parent, database_url=own_store), tiny_scorer)
    yield app
    app.state.serving.close()


def test_csv_and_parquet_hold_the_same(exporting: FastAPI) -> None:
    client = Client(exporting)
    answer = client.get("/v1/decisions/export")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="decisions.csv"'
    table = pl.read_csv(answer.content)
    assert table.height == 2_500
    assert table["transaction_id"].to_list() == [f"t{i}" for i in range(2_499, -1, -1)]
    assert set(table["reasons"]) == {"'=1+1"}
    answer = client.get("/v1/decisions/export?format=parquet")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    typed = pl.read_parquet(answer.content)
    assert typed.columns == table.columns
    assert set(typed["reasons"]) == {"=1+1"}  # data, not a spreadsheet
    for name in ("seq", "score", "threshold", "reconstruction_error", "is_anomaly", "latency_ms"):
        assert typed[name].to_list() == table[name].to_list()
    assert typed.schema["arrived_at"] == pl.Datetime("us", "UTC")
    assert typed["arrived_at"].cast(pl.Int64).to_list() == list(range(2_499, -1, -1))
    assert table["arrived_at"][0] == "1970-01-01T00:00:00.002499Z"
    (known,) = typed.filter(pl.col("label") == "fraud").iter_rows(named=True)
    assert (known["transaction_id"], known["label_known_at"].microsecond) == ("t7", 1)


def test_filters_and_nothing_at_all(exporting: FastAPI) -> None:
    client = Client(exporting)
    some = pl.read_csv(client.get("/v1/decisions/export?min_score=0.49").content)
    assert some["transaction_id"].to_list() == [f"t{i}" for i in range(2_499, 2_449, -1)]
    for form, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        nothing = read(client.get(f"/v1/decisions/export?format={form}&since=1d").content)
        assert nothing.height == 0 and nothing.columns == some.columns
    for query, field in (("limit=5", "limit"), ("format=xlsx", "format"), ("cursor=a", "cursor")):
        answer = ask(exporting, "/v1/decisions/export", query.encode())
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.parquet"])
def test_the_command_line_writes_the_same_beside_the_service(
    cli: Cli, exporting: FastAPI, own_store: str, tiny_model: Path, name: str
) -> None:
    place = ("--database", own_store, "--artifacts", tiny_model.parent)
    done = cli("export", name, *place, "--min-score", "0.25")
    assert done.code == 0, done.err
    assert done.out == f"{name}: 1,250 decisions\n"
    form = "parquet" if name.endswith(".parquet") else "csv"
    served = Client(exporting).get(f"/v1/decisions/export?format={form}&min_score=0.25").content
    read = pl.read_parquet if form == "parquet" else pl.read_csv
    assert read(cli.folder / name).equals(read(served))
    assert [path.name for path in cli.folder.iterdir() if path.name.startswith(".")] == []


def test_what_the_command_line_refuses(cli: Cli, exporting: FastAPI, own_store: str, tiny_model: Path) -> None:
    place = ("--database", own_store, "--artifacts", str(tiny_model.parent))
    for arguments, message in (
        (("out.csv", "--since", "yesterday"), "--since: expected a time"),
        (("out.csv", "--min-score", "2"), "--min-score: expected a number from 0 to 1"),
        (("out.xlsx",), "out.xlsx: unknown kind of file"),
        (("no/folder.csv",), "no/folder.csv: cannot be written"),
        (("out.csv", "--entity", "card=4111111111111111"), "--entity: this model's profile has no [entity.card]"),
        (("out.csv", "--entity", "card"), "--entity: expected NAME=ID"),
    ):
        done = cli("export", *arguments, *place)
        assert done.code == 2 and message in done.err, done.err
        assert not [path for path in cli.folder.iterdir() if "out" in path.name] and "4111" not in done.err


def test_times_that_know_no_calendar_are_seconds(store: Store) -> None:
    schema: TransactionSchema = load_schema("ulb")
    name = schema.timestamp or ""
    append(store, made(None, [], time=1_500_000, body=json.dumps({name: 1_500_000})))
    (frame,) = frames(store, Filter(), schema)
    assert frame["time"].to_list() == [1.5]
    assert json.loads(frame["transaction"][0]) == {name: 1.5}
