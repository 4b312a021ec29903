"""The same transaction again gets its stored answer, however it is written, and after the columns have changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.requests.example import example_transaction
from app.service import create_app
from app.settings import Settings
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.app.calls import CARDS, Client, renewed
from tests.tiny import TINY_FIT, TINY_POLICY, no_report
from training.read import read_history
from training.train import TrainingJob, train

#: The column that one of two versions has.
LATER = "account_age_days"


@contextmanager
def serving(scorer: Scorer, url: str, **settings: Any) -> Iterator[Client]:
    app = create_app(Settings(database_url=url, **settings), scorer)
    yield Client(app)
    app.state.serving.close()


def written(transaction: dict[str, Any], **texts: str) -> bytes:
    """The transaction with some of its values as this JSON text."""
    cells = {name: json.dumps(value) for name, value in transaction.items()} | texts
    return ("{" + ",".join(f'"{name}":{text}' for name, text in cells.items()) + "}").encode()


def again(client: Client, body: bytes, **headers: str) -> Any:
    return client.post("/v1/score", content=body, headers={"Content-Type": "application/json", **headers})


@pytest.mark.parametrize(
    ("name", "first", "others"),
    [
        ("latitude", "0.0", ["-0.0", "0", "-0", "0e0", "-0.00", "0E-7"]),
        ("latitude", "-0.0", ["0.0", "0"]),
        ("latitude", "1", ["1.0", "1e0", "10e-1", "1.000"]),
        ("amount", "0.0", ["-0.0", '"-0.00"', '"0.00"', '"0"', "0"]),
        ("amount", '"-0.00"', ["0", '"0"']),
        ("amount", "12.5", ['"12.5"', '"12.50"', '"12.50000000"', "1.25e1"]),
        ("card_id", '"k\\u00e9"', ['"k\u00e9"']),
        ("timestamp", '"2026-01-31T08:15:00Z"', ['"2026-01-31T09:15:00+01:00"', '"2026-01-31T08:15:00.000Z"']),
    ],
)
def test_another_way_to_write_it_is_the_same(
    client: Client, transaction: dict[str, Any], name: str, first: str, others: list[str]
) -> None:
    reply = again(client, written(transaction, **{name: first}))
    assert reply.status_code == 200
    for other in others:
        replayed = again(client, written(transaction, **{name: other}))
        assert replayed.content == reply.content, other
        assert replayed.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize(
    ("name", "first", "other"),
    [
        ("latitude", "1", "1.0000001"),
        ("card_id", '"k\\u00e9"', '"ke\\u0301"'),
        ("card_id", '"k"', '"K"'),
        ("timestamp", '"2026-01-31T08:15:00Z"', '"2026-01-31T08:15:00+01:00"'),
        (LATER, "null", "0"),
    ],
)
def test_another_value_is_another_transaction(
    client: Client, transaction: dict[str, Any], name: str, first: str, other: str
) -> None:
    assert again(client, written(transaction, **{name: first})).status_code == 200
    assert again(client, written(transaction, **{name: other})).status_code == 409


def test_a_sign_of_zero_in_an_older_log_still_counts_as_the_same(
    tiny_scorer: Scorer, transaction: dict[str, Any], own_store: str
) -> None:
    """Its digest was made of -0.0."""
    import hashlib
    import sqlite3

    with serving(tiny_scorer, own_store) as client:
        reply = again(client, written(transaction, latitude="0.0"))
    with sqlite3.connect(own_store.removeprefix("sqlite:///")) as database:
        ((body,),) = database.execute("SELECT body FROM decisions").fetchall()
        older = as_text(body).replace('"latitude":0.0', '"latitude":-0.0')
        assert older != as_text(body)
        digest = hashlib.sha256(older.encode()).digest()
        database.execute("UPDATE decisions SET body = ?, digest = ?", (older, digest))
    with serving(tiny_scorer, own_store) as client:
        for text in ("0.0", "-0.0", "0"):
            assert again(client, written(transaction, latitude=text)).content == reply.content
        assert again(client, written(transaction, latitude="1")).status_code == 409


def as_text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode()


@pytest.fixture(scope="module")
def narrow(tiny_csv: Path, tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A version whose schema lacks a column of the tiny model's."""
    columns = {name: column for name, column in tiny_schema.columns.items() if name != LATER}
    schema = tiny_schema.model_copy(update={"columns": columns}).checked()
    registry = Registry(tmp_path_factory.mktemp("narrow") / "artifacts")
    train(TrainingJob(schema, TINY_FIT, TINY_POLICY), read_history(schema, [tiny_csv]), registry, report=no_report)
    return Scorer.load(registry.folder(registry.versions()[0]))


@pytest.fixture
def former(narrow: Scorer) -> dict[str, Any]:
    """A transaction of the narrow version."""
    return renewed(example_transaction(narrow.schema, narrow.vocabulary, narrow.bundle.golden))


def test_sent_again_after_the_schema_gained_a_column(
    narrow: Scorer, tiny_scorer: Scorer, former: dict[str, Any], own_store: str
) -> None:
    with serving(narrow, own_store) as client:
        reply = client.post("/v1/score", json=former)
        assert reply.status_code == 200
    with serving(tiny_scorer, own_store) as client:
        replayed = client.post("/v1/score", json=former)
        assert (replayed.status_code, replayed.content) == (200, reply.content)
        assert replayed.headers["Idempotency-Replayed"] == "true"
        # Its caller has learned of the column meanwhile.
        assert client.post("/v1/score", json={**former, LATER: 7}).content == reply.content
        # However it is written.
        moment = datetime.fromisoformat(former["timestamp"]).isoformat().replace("+00:00", "+00:00")
        assert client.post("/v1/score", json={**former, "timestamp": moment}).content == reply.content
        assert client.post("/v1/score", json={**former, "amount": str(former["amount"])}).content == reply.content
        # Another transaction under the id; what lacks more, or has more, than either schema; a new one.
        assert client.post("/v1/score", json={**former, "amount": former["amount"] + 1}).status_code == 409
        assert client.post("/v1/score", json={**former, LATER: 7, "amount": 1.25}).status_code == 409
        assert client.post("/v1/score", json={**former, "more": 1}).status_code == 422
        less = {name: value for name, value in former.items() if name != "amount"}
        assert client.post("/v1/score", json=less).status_code == 422
        assert client.post("/v1/score", json=renewed(former)).status_code == 422


def test_sent_again_after_the_schema_lost_a_column(
    narrow: Scorer, tiny_scorer: Scorer, transaction: dict[str, Any], own_store: str
) -> None:
    sent = {**transaction, LATER: 7}
    with serving(tiny_scorer, own_store) as client:
        reply = client.post("/v1/score", json=sent)
    with serving(narrow, own_store) as client:
        for same in (sent, {**sent, LATER: 7.0}, {name: value for name, value in sent.items() if name != LATER}):
            assert client.post("/v1/score", json=same).content == reply.content
        for other in ({**sent, LATER: 8}, {**sent, LATER: True}, {**sent, "amount": 1.25}):
            assert client.post("/v1/score", json=other).status_code == 409
        # A card number is refused before it is compared with anything.
        assert client.post("/v1/score", json={**sent, "transaction_id": CARDS[0]}).status_code == 422


def test_the_same_in_a_batch_and_by_an_idempotency_key(
    narrow: Scorer, tiny_scorer: Scorer, former: dict[str, Any], transaction: dict[str, Any], own_store: str
) -> None:
    key, second = {"Idempotency-Key": "k-1"}, renewed(former)
    with serving(narrow, own_store) as client:
        replies = client.post("/v1/score/batch", json={"transactions": [former, second]}, headers=key).json()["results"]
    with serving(tiny_scorer, own_store) as client:
        other = {**second, "amount": second["amount"] + 1}
        batch = {"transactions": [former, transaction, other, second, renewed(former), {}]}
        results = client.post("/v1/score/batch", json=batch).json()["results"]
        assert results[0] == replies[0]
        assert results[1]["transaction_id"] == transaction["transaction_id"]
        assert results[2]["error"]["status"] == 409
        assert results[3] == replies[1]
        assert [result["error"]["status"] for result in results[4:]] == [422, 422]
        again = client.post("/v1/score/batch", json={"transactions": [former, second]}, headers=key).json()["results"]
        assert again == replies
        conflict = client.post("/v1/score", json=renewed(former), headers=key)  # the key is the first one's
        assert conflict.status_code == 409
        assert [field["field"] for field in conflict.json()["errors"]] == ["Idempotency-Key"]


def test_under_pseudonyms(
    narrow: Scorer, tiny_scorer: Scorer, former: dict[str, Any], own_store: str, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(32)))
    secret.chmod(0o600)
    hidden = {"pseudonymise": "card_id", "pseudonym_key_file": secret}
    with serving(narrow, own_store, **hidden) as client:
        reply = client.post("/v1/score", json=former)
        assert reply.status_code == 200
    with serving(tiny_scorer, own_store, **hidden) as client:
        assert client.post("/v1/score", json=former).content == reply.content
        assert client.post("/v1/score", json={**former, "card_id": "another"}).status_code == 409
