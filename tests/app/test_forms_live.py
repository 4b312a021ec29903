"""A bank's own export end to end: the forms and a hashed card number, from training to JSON, to the log and back.

The same payments in the plain form and in the bank's give the same numbers; a request gives the file's score.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.decisions.transactions import transaction_frames
from app.service import create_app
from app.settings import Settings
from app.store.query import Filter
from cli.opening import fork_of
from cli.options import State
from models.batch import score_table
from models.errors import InvalidInput
from models.key_hash import KeyHash
from models.registry import Registry
from models.schema import PLAIN, TransactionSchema, parse_schema
from models.scorer import Scorer
from tests.app.calls import Client
from tests.app.pans import card_numbers
from tests.tiny import TINY_FIT, TINY_POLICY, no_report
from training.read import read_history
from training.train import TrainingJob, train

SECRET = bytes(range(32))
PROFILE = """
name = "bank"
label_delay = "0d"
[entity.card]
key = "card"
windows = ["1d"]
features = ["count", "ratio_to_mean", "distinct:category"]
[columns]
id = { kind = "id", from = "trans_num" }
time = { kind = "timestamp", from = ["Day", "Time"], format = "%d.%m.%Y %H:%M:%S", zone = "America/New_York" }
card = { kind = "entity", from = "cc_num", key_hash = true }
category = { kind = "categorical" }
amount = { kind = "amount", from = "EUR", decimal = ",", thousands = ".", marks = ["€"], minimum = 0.0, maximum = 1e6 }
is_fraud = { kind = "label", from = "Fraud?", fraud = ["Yes"], legitimate = ["No"] }
"""
PLAIN_PROFILE = """
name = "bank"
label_delay = "0d"
[columns]
time = { kind = "timestamp" }
card = { kind = "entity" }
category = { kind = "categorical" }
amount = { kind = "amount", minimum = 0.0, maximum = 1e6 }
is_fraud = { kind = "label" }
"""


@dataclass
class Bank:
    """A trained version, its file, and the same payments plainly written."""

    schema: TransactionSchema
    scorer: Scorer
    file: Path
    plain: Path
    secret: Path


def _euros(amount: float) -> str:
    return f"{amount:,.2f} €".translate(str.maketrans(",.", ".,"))


@pytest.fixture(scope="module")
def bank(tiny_frame: pl.DataFrame, kernel: None, tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("bank")
    cards = tiny_frame["card_id"].unique(maintain_order=True)
    numbers = dict(zip(cards, card_numbers(len(cards), seed=7), strict=True))
    local = pl.col("timestamp").dt.truncate("1s").dt.convert_time_zone("America/New_York")
    frame = tiny_frame.select(
        pl.Series("trans_num", [f"{i:x}".rjust(32, "f") for i in range(tiny_frame.height)]),
        local.dt.strftime("%d.%m.%Y").alias("Day"),
        local.dt.strftime("%H:%M:%S").alias("Time"),
        pl.col("card_id").replace_strict(numbers).alias("cc_num"),
        "category",
        pl.col("amount").map_elements(_euros, pl.String).alias("EUR"),
        pl.when(pl.col("is_fraud") == 1).then(pl.lit("Yes")).otherwise(pl.lit("No")).alias("Fraud?"),
    )
    frame.write_csv(folder / "bank.csv", separator=";")
    tiny_frame.select(
        pl.col("timestamp").dt.truncate("1s").alias("time"),
        pl.col("card_id")
        .replace_strict({card: KeyHash(SECRET).of(number) for card, number in numbers.items()})
        .alias("card"),
        "category",
        pl.col("amount").round(2),
        "is_fraud",
    ).write_parquet(folder / "plain.parquet")
    secret = folder / "secret.key"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    schema = parse_schema(tomllib.loads(PROFILE), source="test").with_keys(KeyHash(SECRET))
    registry = Registry(folder / "artifacts")
    job = TrainingJob(schema, TINY_FIT, TINY_POLICY, label_delay="0d")
    manifest, _ = train(job, read_history(schema, [folder / "bank.csv"]), registry, report=no_report)
    registry.activate(manifest.version)
    return Bank(schema, Scorer.load(registry.resolve(None)), folder / "bank.csv", folder / "plain.parquet", secret)


def _settings(bank: Bank, tmp_path: Path, **more: Any) -> Settings:
    return Settings(
        artifacts=bank.file.parent / "artifacts", database_url=f"sqlite:///{tmp_path / 'log.db'}",
        **{"pseudonym_key_file": bank.secret, **more},
    )  # fmt: skip


def test_the_banks_file_is_read_as_the_plain_table(bank: Bank) -> None:
    plain = read_history(parse_schema(tomllib.loads(PLAIN_PROFILE), source="test"), [bank.plain])
    own = read_history(bank.schema, [bank.file])
    assert own.fingerprint() == plain.fingerprint()


def test_json_of_the_files_shape_gets_the_files_score_and_the_log_trains_again(bank: Bank, tmp_path: Path) -> None:
    later = pl.read_csv(bank.file, separator=";", infer_schema=False).sort("Day", "Time").head(80).drop("Fraud?")
    later = later.with_columns(pl.col("Day").str.replace(".01.", ".03.", literal=True))  # after the training
    later = later.sort(pl.col("Day").str.to_date("%d.%m.%Y"), "Time", maintain_order=True)
    later.write_csv(tmp_path / "later.csv", separator=";")
    scorer = bank.scorer.with_schema(bank.schema)
    fork = fork_of(scorer, State.snapshot)
    score_table(scorer, tmp_path / "later.csv", tmp_path / "scored.parquet", fork=fork)
    scored = pl.read_parquet(tmp_path / "scored.parquet")
    assert set(scored["cc_num"]) == {"(withheld)"}
    app = create_app(_settings(bank, tmp_path), bank.scorer)
    client = Client(app)
    answers = [client.post("/v1/score", json=row).json() for row in later.iter_rows(named=True)]
    live = [answer.get("reconstruction_error") for answer in answers]
    assert live == pytest.approx(scored["reconstruction_error"].to_list(), rel=1e-9), answers[0]

    upload = client.post("/v1/score/csv?state=snapshot", content=(tmp_path / "later.csv").read_bytes(),
                         headers={"Content-Type": "text/csv"})  # fmt: skip
    uploaded = pl.read_csv(upload.content, separator=";")
    assert uploaded["reconstruction_error"].to_list() == pytest.approx(live, rel=1e-9)
    assert set(uploaded["cc_num"]) == {"(withheld)"}
    document = app.openapi()
    assert document["components"] and "trans_num" in str(document["paths"]["/v1/score"]["post"]["requestBody"])
    store = app.state.serving.ledger.recorder.store
    exported = pl.concat(transaction_frames(store, Filter(), bank.schema))
    exported.write_parquet(tmp_path / "exported.parquet")
    assert PLAIN in exported.columns
    later.with_columns(pl.lit(None, pl.String).alias("Fraud?")).write_csv(tmp_path / "sent.csv", separator=";")
    later.with_columns(pl.lit(None, pl.String).alias("Fraud?")).write_csv(tmp_path / "sent.csv", separator=";")
    again, sent = (read_history(bank.schema, [tmp_path / name]) for name in ("exported.parquet", "sent.csv"))
    assert np.array_equal(again.numeric, sent.numeric) and np.array_equal(again.time, sent.time)
    assert again.entity["card"].equals(sent.entity["card"])
    gateway = "/v2/models/{model}/infer"
    example = document["paths"][gateway]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert client.post(gateway.format(model="counterfoil"), json=example).json()["outputs"]
    app.state.serving.close()
    numbers = set(later["cc_num"])
    for file in (*tmp_path.glob("log.db*"), tmp_path / "scored.parquet", *(bank.file.parent / "artifacts").rglob("*")):
        if file.is_file():
            found = set(re.findall(rb"[0-9]{13,19}", file.read_bytes()))
            assert not {number.encode() for number in numbers} & found, file


def test_another_secret_or_none_is_refused(bank: Bank, tmp_path: Path) -> None:
    for key_file, cause in ((None, "needs a secret"), (tmp_path / "other.key", "trained with another secret")):
        if key_file is not None:
            key_file.write_bytes(bytes(reversed(SECRET)))
            key_file.chmod(0o600)
        app = create_app(_settings(bank, tmp_path, pseudonym_key_file=key_file))
        with pytest.raises(InvalidInput, match=cause):
            app.state.serving.start(bank.scorer)
