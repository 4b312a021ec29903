"""Transactions from the log are a table that trains, warms and scores: what comes out is what was recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.decisions.export import spreadsheet_safe, write
from app.decisions.transactions import transaction_frames
from app.pseudonyms import Pseudonyms
from app.recording.warm import warm
from app.service import create_app
from app.settings import Settings
from app.store.contract import Store
from app.store.open import open_store
from app.store.query import Filter
from app.store.records import Label
from models.pan import is_card_number
from models.parsing import parse_rows
from models.registry import Registry
from models.rows import AT_ONCE, FRAUD, LEGITIMATE, UNKNOWN, Batch
from models.schema import TransactionSchema, load_schema, parse_schema
from models.scorer import Scorer
from models.strict_tables import checked_rows
from models.tables import TableReader
from models.times import LAST_TIME, TIME_EXPECTED
from tests.app.calls import Client
from tests.app.recording.test_recorder import recorded
from tests.app.records import Till, as_in_a_file, replies, sent, till
from tests.app.store.events import append, decision, label
from tests.app.traffic import Payments, bodies
from tests.command_line import Cli
from tests.examples import examples
from tests.tiny import TINY_FIT, TINY_POLICY, no_report
from training.read import read_history
from training.train import TrainingJob, train

ROWS = 400
FORMS = ("all.csv", "all.csv.gz", "all.parquet")


@pytest.fixture
def store(own_store: str) -> Iterator[Store]:
    found = open_store(own_store)
    yield found
    found.close()


@pytest.fixture
def log(payments: Payments, own_store: str) -> str:
    """A store with payments of which some have labels, the latest of which counts."""
    with till(payments, own_store) as one:
        for start in range(0, ROWS, 50):
            one.send(*sent(payments, ROWS)[start : start + 50])
        verdicts: list[tuple[int, Label]] = [
            (3, "fraud"),
            (5, "fraud"),
            (5, "legitimate"),
            (7, "fraud"),
            (7, "disputed"),
        ]
        for place, verdict in verdicts:
            name = json.loads(sent(payments, ROWS)[place])["transaction_id"]
            one.recorder.label(name, verdict, 2**51, 2**51, None)
    return own_store


@pytest.mark.parametrize("name", FORMS)
def test_the_table_scores_as_it_was_recorded(payments: Payments, log: str, cli: Cli, name: str) -> None:
    place = ("--artifacts", payments.artifacts)
    assert cli("export", name, "--transactions", "--database", log, *place).out == f"{name}: {ROWS} transactions\n"
    done = cli("score", name, "--out", "scored.parquet", *place)
    assert (done.code, done.err) == (0, ""), done.err
    before = recorded(log)
    scored = pl.read_parquet(cli.folder / "scored.parquet")
    assert scored["transaction_id"].to_list() == [one.transaction_id for one in before]
    assert scored["score"].cast(pl.Float64).to_list() == as_in_a_file([one.score for one in before])
    rows = checked_rows(payments.schema, [cli.folder / name])
    assert rows.label is not None
    assert [int(rows.label[place]) for place in (3, 4, 5, 7)] == [FRAUD, UNKNOWN, LEGITIMATE, UNKNOWN]
    assert f"{ROWS} rows, 1 fraud" in cli("evaluate", name, *place).out


def test_a_store_warmed_from_the_table_goes_on_as_the_old_one(
    payments: Payments, log: str, cli: Cli, tmp_path: Path
) -> None:
    other, place = f"sqlite:///{tmp_path / 'other.db'}", ("--artifacts", payments.artifacts)
    assert cli("export", "all.csv", "--transactions", "--database", log, *place).code == 0
    assert cli("warm", "all.csv", "--database", other, *place).out.startswith(f"{ROWS} transactions loaded, on top of")
    with till(payments, log) as one, till(payments, other) as warmed:
        later = sent(payments, ROWS + 100)[ROWS:]
        assert one.send(*later) == warmed.send(*later)
    assert [one.features for one in recorded(log)][ROWS:] == [one.features for one in recorded(other)]


@dataclass
class Nowhere:
    """A model of transactions without id, time and entities, and some of them as JSON."""

    registry: Registry
    scorer: Scorer
    bodies: list[bytes]


@pytest.fixture(scope="module")
def nowhere(tiny_frame: pl.DataFrame, tiny_csv: Path, tiny_schema: TransactionSchema, tmp_path_factory: Any) -> Nowhere:
    left_out = ("id", "timestamp", "entity")
    columns = {name: column for name, column in tiny_schema.columns.items() if column.kind not in left_out}
    schema = tiny_schema.model_copy(update={"columns": columns}).checked()
    registry = Registry(tmp_path_factory.mktemp("nowhere") / "artifacts")
    job = TrainingJob(schema, TINY_FIT, TINY_POLICY, label_delay="0d")
    manifest, folder = train(job, read_history(schema, [tiny_csv]), registry, report=no_report)
    registry.activate(manifest.version)
    rows = tiny_frame.select(schema.inputs).head(300).with_columns(pl.col("account_age_days").cast(pl.Float64))
    return Nowhere(registry, Scorer.load(folder), [json.dumps(row).encode() for row in rows.iter_rows(named=True)])


@pytest.mark.parametrize("name", FORMS)
def test_without_id_and_time_the_order_is_that_of_arrival(
    nowhere: Nowhere, own_store: str, cli: Cli, name: str
) -> None:
    till_ = Till(nowhere.scorer, own_store)
    answers = replies(till_.send(*nowhere.bodies))
    till_.recorder.close()
    place = ("--artifacts", nowhere.registry.root)
    assert cli("export", name, "--transactions", "--database", own_store, *place).code == 0
    assert cli("score", name, "--out", "scored.parquet", *place).code == 0
    scored = pl.read_parquet(cli.folder / "scored.parquet")["score"].to_list()
    assert scored == as_in_a_file([json.loads(answer)["score"] for answer in answers])
    assert TableReader(cli.folder / name).columns == [n for n in nowhere.scorer.schema.columns if n != "fraud_scenario"]


def test_a_table_without_any_label_trains(nowhere: Nowhere, own_store: str, cli: Cli) -> None:
    till_ = Till(nowhere.scorer, own_store)
    till_.send(*nowhere.bodies)
    till_.recorder.close()
    place = ("--artifacts", nowhere.registry.root, "--database", own_store)
    assert cli("export", "all.csv", "--transactions", *place).code == 0
    history = read_history(nowhere.scorer.schema, [cli.folder / "all.csv"])
    assert (set(history.label), len(history)) == ({UNKNOWN}, 300)
    job = TrainingJob(nowhere.scorer.schema, TINY_FIT, TINY_POLICY, label_delay="0d")
    manifest, _ = train(job, history, Registry(cli.folder / "again"))
    assert (manifest.metrics.rows, manifest.metrics.fraud, manifest.metrics.roc_auc) == (60, 0, None)


def test_training_reads_what_was_sent(payments: Payments, log: str, cli: Cli) -> None:
    """The fingerprint is over all parsed values, labels included."""
    assert cli("export", "all.csv", "--transactions", "--database", log, "--artifacts", payments.artifacts).code == 0
    known = pl.Series([{3: 1, 5: 0}.get(place) for place in range(ROWS)], dtype=pl.Int8)
    payments.frame.head(ROWS).with_columns(is_fraud=known).write_parquet(cli.folder / "sent.parquet")
    exported, own = (read_history(payments.schema, [cli.folder / name]) for name in ("all.csv", "sent.parquet"))
    assert exported.fingerprint() == own.fingerprint()


def test_a_model_of_pseudonyms_knows_cards_once_warmed_from_the_same_table(
    payments: Payments, own_store: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "pseudonym.key").write_bytes(bytes(range(32)))
    (tmp_path / "pseudonym.key").chmod(0o600)
    hidden: dict[str, Any] = {"pseudonymise": "card_id", "pseudonym_key_file": tmp_path / "pseudonym.key"}
    with till(payments, own_store, **hidden) as one:
        replies(one.send(*sent(payments, ROWS)))
    assert (
        cli("export", "all.csv", "--transactions", "--database", own_store, "--artifacts", payments.artifacts).code == 0
    )
    assert set(pl.read_csv("all.csv")["card_id"].str.slice(0, 3)) == {"pn_"}
    registry = Registry(tmp_path / "artifacts")
    job = TrainingJob(payments.schema, TINY_FIT, TINY_POLICY, label_delay="0d")
    manifest, folder = train(job, read_history(payments.schema, [tmp_path / "all.csv"]), registry, report=no_report)
    registry.activate(manifest.version)
    scorer = Scorer.load(folder)
    later = payments.frame[ROWS : ROWS + 100].drop("is_fraud")
    pseudonyms = Pseudonyms.open(Settings(**hidden), payments.schema)
    named = [pseudonyms.of(card) for card in later["card_id"]]
    later.with_columns(pl.Series("card_id", named)).write_parquet(tmp_path / "later.parquet")
    assert cli("score", "later.parquet", "--out", "scored.parquet", "--artifacts", registry.root).code == 0
    expected = pl.read_parquet(tmp_path / "scored.parquet")["score"].to_list()  # from the model's own states
    scores = {}
    for warmed in (True, False):
        new = Settings(database_url=f"sqlite:///{tmp_path / f'new-{warmed}.db'}", **hidden)
        if warmed:
            warm(new, scorer, [tmp_path / "all.csv"])
        other = Till(scorer, new.database_url, **hidden)
        scores[warmed] = [json.loads(one)["score"] for one in replies(other.send(*bodies(later, payments.schema)))]
        other.recorder.close()
    assert scores[True] == as_in_a_file(expected)
    assert scores[False] != as_in_a_file(expected)  # its own states are under other keys
    (tmp_path / "copy.db").write_bytes((tmp_path / "own.db").read_bytes())
    for url, model in ((own_store, scorer), (f"sqlite:///{tmp_path / 'copy.db'}", payments.scorer)):
        other = Till(model, url, **hidden)  # a store in use keeps its states
        replies(other.send(*bodies(later, payments.schema)))
        other.recorder.close()
    mine, theirs = (
        [Batch.from_bytes(one.features, len(payments.schema.numeric)).numeric[0].tolist() for one in recorded(url)]
        for url in (own_store, f"sqlite:///{tmp_path / 'copy.db'}")
    )
    assert len(mine) == ROWS + 100 and mine == theirs


KINDS = parse_schema(
    {
        "name": "kinds",
        "columns": {
            "name": {"kind": "id"},
            "at": {"kind": "timestamp", "cycles": []},
            "who": {"kind": "entity"},
            "where": {"kind": "categorical", "nullable": True},
            "much": {"kind": "amount"},
            "age": {"kind": "numeric", "nullable": True},
            "money": {"kind": "currency", "code": "EUR"},
            "verdict": {"kind": "label", "fraud": ["-1", "bad"], "legitimate": ["=good"]},
        },
    },
    source="kinds",
)
#: Texts that look like numbers, dates and missing values, that CSV must quote, and that a spreadsheet runs.
TEXT = st.sampled_from(["007", "1.0", "1e5", "NaN", "null", "true", " a ", "2026-01-31", "ü💳"]) | st.text(
    st.sampled_from("=+-@\t\r\n '\",;|0aA1\u200b\ufeff"), min_size=1, max_size=8
)
NUMBER = st.floats(-3e38, 3e38, allow_nan=False).filter(lambda number: not is_card_number(number))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(30))
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "at": st.integers(0, LAST_TIME),
                "who": TEXT,
                "where": st.none() | TEXT,
                "much": NUMBER,
                "age": st.none() | NUMBER,
                "verdict": st.sampled_from([None, "fraud", "legitimate", "disputed"]),
            }
        ),
        min_size=1,
        max_size=6,
    ),
    form=st.sampled_from(["csv", "iso8601-utc", "epoch-s", "epoch-ms", "elapsed-s", "parquet"]),
)
def test_every_value_comes_back(store: Store, tmp_path: Path, rows: list[dict[str, Any]], form: str) -> None:
    written = tmp_path / ("all.parquet" if form == "parquet" else "all.csv")
    columns = dict(KINDS.columns)
    if form in TIME_EXPECTED:
        columns["at"] = columns["at"].model_copy(update={"format": form})
    schema = KINDS.model_copy(update={"columns": columns})
    if form == "elapsed-s":
        rows = [{**row, "at": row["at"] % 2**51} for row in rows]  # 71 years: beyond, a float has no microseconds
    first = store.last_seq() + 1
    for place, row in enumerate(rows):
        body = {"name": f"n{first}-{place}", **{n: v for n, v in row.items() if n != "verdict"}, "money": "EUR"}
        append(store, decision(body["name"], body=json.dumps(body), arrived_at=first))
        if row["verdict"]:
            append(store, label(body["name"], row["verdict"]))
    write(transaction_frames(store, Filter(since=first, until=first + 1), schema), written)
    (chunk,) = TableReader(written).chunks()
    parsed = parse_rows(schema, chunk.frame)
    assert parsed.errors == ()
    shown = (lambda text: text) if form == "parquet" else quoted
    assert parsed.time.tolist() == [row["at"] for row in rows]
    assert parsed.entity["who"].to_list() == [shown(row["who"]) for row in rows]
    assert parsed.text[0].to_list() == [shown(row["where"]) for row in rows]
    assert parsed.numeric[:, 0].tolist() == [row["much"] for row in rows]
    assert [None if math.isnan(age) else age for age in parsed.numeric[:, 1]] == [row["age"] for row in rows]
    codes = {"fraud": FRAUD, "legitimate": LEGITIMATE}
    assert parsed.label is not None
    assert parsed.label.tolist() == [codes.get(row["verdict"], UNKNOWN) for row in rows]


def quoted(text: str | None) -> Any:
    """A text as a CSV has it."""
    return spreadsheet_safe(pl.DataFrame({"text": [text]}, schema={"text": pl.String}))["text"][0]


@pytest.fixture
def exporting(payments: Payments, log: str) -> Iterator[FastAPI]:
    app = create_app(Settings(artifacts=payments.artifacts, database_url=log), payments.scorer)
    yield app
    app.state.serving.close()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_service_and_the_command_line_write_the_as_in_a_file(
    payments: Payments, exporting: FastAPI, log: str, cli: Cli, form: str
) -> None:
    place = ("--artifacts", payments.artifacts, "--database", log)
    answer = Client(exporting).get(f"/v1/decisions/export?transactions=true&format={form}&label=fraud")
    assert answer.headers["content-disposition"] == f'attachment; filename="transactions.{form}"'
    assert (
        cli("export", f"all.{form}", "--transactions", "--label", "fraud", *place).out
        == f"all.{form}: 1 transactions\n"
    )
    if form == "csv":
        assert (cli.folder / "all.csv").read_bytes() == answer.content
    else:
        assert pl.read_parquet(cli.folder / "all.parquet").equals(pl.read_parquet(answer.content))
    read: Any = pl.read_csv if form == "csv" else pl.read_parquet
    (row,) = read(answer.content).iter_rows(named=True)
    assert (row["transaction_id"], str(row["is_fraud"])) == (json.loads(sent(payments, 4)[3])["transaction_id"], "1")
    nothing = read(Client(exporting).get(f"/v1/decisions/export?transactions=true&format={form}&caller=nobody").content)
    assert nothing.height == 0 and nothing.columns == list(row)
    assert Client(exporting).get("/v1/decisions/export?transactions=1").json()["errors"][0]["field"] == "transactions"
    assert Client(exporting).get("/v1/decisions?transactions=true").json()["errors"][0]["field"] == "transactions"


def test_texts_that_are_not_as_they_were_sent_are_said(
    tiny_model: Path, store: Store, own_store: str, cli: Cli
) -> None:
    append(store, *(decision(name, body=json.dumps({"transaction_id": name})) for name in ("=1", "x-1", "-1")))
    place = ("--transactions", "--database", own_store, "--artifacts", tiny_model.parent)
    assert cli("export", "all.parquet", *place).out == "all.parquet: 3 transactions\n"
    told = cli("export", "all.csv", *place).out
    assert told.startswith("all.csv: 3 transactions\n  2 texts stand behind an apostrophe, not as they were sent")
    assert pl.read_csv("all.csv")["transaction_id"].to_list() == ["'=1", "x-1", "'-1"]


def test_many_pages_come_oldest_first(store: Store, own_store: str) -> None:
    append(store, *(decision(f"t{i}", body=json.dumps({"transaction_id": f"t{i}"})) for i in range(2_500)))
    parts = list(transaction_frames(store, Filter(), load_schema("payments")))
    assert [part.height for part in parts] == [500, 1_000, 1_000]
    assert pl.concat(parts)["transaction_id"].to_list() == [f"t{i}" for i in range(2_500)]


def test_what_another_schema_recorded_is_null_where_it_does_not_fit(store: Store) -> None:
    append(store, decision("old", body='{"name": "old", "at": 1.5, "who": 2.5, "much": "big", "colour": "red"}'))
    (frame,) = transaction_frames(store, Filter(), KINDS)
    (row,) = frame.iter_rows(named=True)
    assert (row["name"], row["much"], row["where"]) == ("old", None, None)
    assert "colour" not in row


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_since_when_a_label_was_known_comes_back(store: Store, tmp_path: Path, suffix: str) -> None:
    columns = {
        "id": {"kind": "id"},
        "at": {"kind": "timestamp"},
        "much": {"kind": "numeric"},
        "fraud": {"kind": "label"},
        "disputed": {"kind": "label_timestamp", "format": "%Y-%m-%d"},
    }
    schema = parse_schema({"name": "t", "columns": columns}, source="t")
    at = 1_767_225_600_000_000
    for name in "abc":
        append(store, decision(name, body=json.dumps({"id": name, "at": at, "much": 1.0})))
    append(store, label("a", known_at=at + 7), label("b", known_at=at + 8), label("b", "disputed", known_at=at + 9))
    append(store, label("c", known_at=at + 8), label("c", "legitimate", known_at=at + 9))
    write(transaction_frames(store, Filter(), schema), tmp_path / f"all{suffix}")
    (chunk,) = TableReader(tmp_path / f"all{suffix}").chunks()
    parsed = parse_rows(schema, chunk.frame)
    assert parsed.errors == () and parsed.known is not None
    assert parsed.known.tolist() == [at + 7, AT_ONCE, at + 9]
