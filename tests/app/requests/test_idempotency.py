"""Idempotency-Key: the same request again counts once and gets the answer of the first time.

python -m pytest tests/app/requests/test_idempotency.py                            # 2 kills
python -m pytest -p tests.long --long -s tests/app/requests/test_idempotency.py    # 20 kills
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from app.pseudonyms import NO_PSEUDONYMS
from app.recording.answers import Answer
from app.recording.engine import Engine
from app.recording.recorder import Recorder
from app.refusals import Conflict
from app.requests.arrival import ScoreOptions
from app.requests.encoder import Encoder
from app.requests.example import example_transaction
from app.requests.idempotency import Key
from app.requests.model import RequestModel
from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Decision
from models.registry import Registry
from models.scorer import Scorer
from tests.app.calls import CARDS, Client
from tests.app.traffic import Client as Caller
from tests.app.traffic import Server, results_of
from tests.waiting import until

CLIENTS, KEYS = 50, 100


@pytest.fixture(scope="module")
def versions(nameless: Registry) -> list[Scorer]:
    return [Scorer.load(nameless.folder(version)) for version in nameless.versions()]


@pytest.fixture
def body(versions: list[Scorer]) -> dict[str, Any]:
    one = versions[0]
    return example_transaction(one.schema, one.vocabulary, one.bundle.golden)


@contextmanager
def serving(scorer: Scorer, url: str) -> Iterator[Client]:
    app: FastAPI = create_app(Settings(database_url=url), scorer)
    yield Client(app)
    app.state.serving.close()


def recorded(url: str) -> list[Decision]:
    store = open_store(url, read_only=True)
    found = [event for event in store.log() if isinstance(event, Decision)]
    store.close()
    return found


def test_once_by_its_key_even_from_another_version(
    versions: list[Scorer], body: dict[str, Any], own_store: str
) -> None:
    with serving(versions[0], own_store) as client:
        first = client.post("/v1/score", json=body, headers={"Idempotency-Key": "k-1"})
        again = client.post("/v1/score?reasons=0", json=body, headers={"Idempotency-Key": "k-1"})
        assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        for name in ("k-2", None):
            headers = {"Idempotency-Key": name} if name else {}
            assert client.post("/v1/score", json=body, headers=headers).status_code == 200
    with serving(versions[1], own_store) as client:
        restarted = client.post("/v1/score", json=body, headers={"idempotency-key": "k-1"})
        assert restarted.content == first.content
        assert restarted.json()["model_version"] == versions[0].manifest.version
        assert client.post("/v1/score", json=body).json()["model_version"] == versions[1].manifest.version
    assert len(recorded(own_store)) == 4


def test_another_transaction_under_the_key_is_refused(
    versions: list[Scorer], body: dict[str, Any], own_store: str
) -> None:
    other = {**body, "amount": 99.0}
    headers = {"Idempotency-Key": "k-1"}
    with serving(versions[0], own_store) as client:
        first = client.post("/v1/score", json=body, headers=headers)
        refused = client.post("/v1/score", json=other, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:counterfoil:problem:conflict")
        assert [error["field"] for error in refused.json()["errors"]] == ["Idempotency-Key"]
        assert "k-1" not in refused.text
        assert client.post("/v1/score", json=body, headers=headers).content == first.content
    assert [decision.idempotency_digest for decision in recorded(own_store)] == [Key("k-1").digest(None, 0)]


def test_in_a_batch_the_key_and_the_place_stand_for_a_row(
    versions: list[Scorer], body: dict[str, Any], own_store: str
) -> None:
    rows = [{**body, "amount": float(amount)} for amount in range(1, 200)]
    bad, headers = {**body, "amount": "free"}, {"Idempotency-Key": "batch"}
    with serving(versions[0], own_store) as client:
        sent = {"transactions": [rows[0], bad, *rows[1:]]}
        first = client.post("/v1/score/batch", json=sent, headers=headers)
        assert len(recorded(own_store)) == len(rows)
        again = client.post("/v1/score/batch", json=sent, headers=headers)
        first_results, again_results = results_of(first.content), results_of(again.content)
        assert [first_results[0], *first_results[2:]] == [again_results[0], *again_results[2:]]
        others = [{**row, "amount": row["amount"] + 1_000} for row in rows[1:]]
        mixed = {"transactions": [rows[0], bad, *others]}
        results = client.post("/v1/score/batch", json=mixed, headers=headers).json()["results"]
        statuses = [result.get("error", {"status": 200})["status"] for result in results]
        assert statuses == [200, 422] + [409] * len(others)
        alone = client.post("/v1/score", json=rows[0], headers=headers)
        assert alone.headers["idempotency-replayed"] == "true"
    assert len(recorded(own_store)) == len(rows)


def test_beside_an_id_both_must_mean_the_same(tiny_scorer: Scorer, own_store: str) -> None:
    body = example_transaction(tiny_scorer.schema, tiny_scorer.vocabulary, tiny_scorer.bundle.golden)
    one, two = {**body, "transaction_id": "t1"}, {**body, "transaction_id": "t2"}
    with serving(tiny_scorer, own_store) as client:

        def score(sent: dict[str, Any], key: str | None) -> httpx.Response:
            return client.post("/v1/score", json=sent, headers={"Idempotency-Key": key} if key else {})

        def status(sent: dict[str, Any], key: str | None) -> int:
            return score(sent, key).status_code

        def fields(sent: dict[str, Any], key: str | None) -> list[str]:
            return [error["field"] for error in score(sent, key).json()["errors"]]

        assert status(one, "a") == 200
        assert status(two, "b") == 200
        assert status(one, "a") == status(one, None) == status(one, "c") == 200  # recorded under its id
        assert status(one, "b") == status(two, "a") == 409
        assert fields(one, "b") == fields(two, "a") == ["Idempotency-Key"]
        assert fields({**one, "amount": 99.0}, "c") == fields({**one, "amount": 99.0}, None) == ["transaction_id"]
        assert fields({**one, "amount": 99.0}, "b") == ["transaction_id", "Idempotency-Key"]
    assert [decision.transaction_id for decision in recorded(own_store)] == ["t1", "t2"]


def test_twice_in_one_transaction_of_the_store(versions: list[Scorer], body: dict[str, Any], own_store: str) -> None:
    scorer = versions[0]
    requests, encoder = RequestModel(scorer.schema, 10), Encoder(scorer.schema, scorer.vocabulary)
    recorder = Recorder.open(Settings(database_url=own_store), scorer, NO_PSEUDONYMS)
    row, other = (requests.one(json.dumps(sent).encode()) for sent in (body, {**body, "amount": 99.0}))

    def asked(sent: Any, key: str, caller: str | None = None) -> Any:
        return encoder.row(sent, ScoreOptions(0), caller, Key(key))

    sent = [asked(row, "k"), asked(row, "k"), asked(other, "k"), asked(other, "k", "else"), asked(row, "k", "else")]
    first, again, conflict, theirs, their_conflict = recorder.answer(Engine(scorer, 300), sent)
    recorder.close()
    assert isinstance(first, Answer) and isinstance(again, Answer)
    assert first.content == again.content and first.reply is not None and again.reply is None
    assert isinstance(theirs, Answer) and theirs.content != first.content  # another caller's key is another key
    for refusal in (conflict, their_conflict):
        assert isinstance(refusal, Conflict)
        assert [error.field for error in refusal.errors] == ["Idempotency-Key"]
    assert len(recorded(own_store)) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "k\xe9", "tab\tin", CARDS[1], f"order-{CARDS[0]}"])
@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch"])
def test_what_is_no_key_is_refused(client: Client, transaction: dict[str, Any], key: str, path: str) -> None:
    headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.encode("latin-1"))]
    body = transaction if path == "/v1/score" else {"transactions": [transaction]}
    refused = client.post(path, content=json.dumps(body), headers=headers)
    assert refused.status_code == 422
    assert [error["field"] for error in refused.json()["errors"]] == ["Idempotency-Key"]
    assert not key or key not in refused.text


def test_two_keys_are_refused_and_the_longest_is_taken(client: Client, transaction: dict[str, Any]) -> None:
    content = json.dumps(transaction)
    kind = ("Content-Type", "application/json")
    twice = client.post("/v1/score", content=content, headers=[kind, *[("Idempotency-Key", "a")] * 2])
    assert twice.json()["errors"] == [{"field": "Idempotency-Key", "message": "appears twice"}]
    assert client.post("/v1/score", content=content, headers=[kind, ("Idempotency-Key", "~" * 255)]).status_code == 200


def test_keys_differ_from_each_other_and_by_place_and_caller() -> None:
    made = [
        Key(text).digest(caller, place) for text in ("a", "b", "a0") for caller in (None, "", "a") for place in (0, 1)
    ]
    assert len(set(made)) == len(made) == 18
    assert all(len(digest) == 16 for digest in made)


@pytest.mark.parametrize("killed", [False, True])
def test_many_at_once_are_computed_once(
    nameless: Registry, body: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest, killed: bool
) -> None:
    bodies = [json.dumps({**body, "amount": 1.0 + key}).encode() for key in range(KEYS)]
    # All clients ask at once, and none is to be refused because of that.
    server = Server(nameless.root, tmp_path / "counterfoil.db", COUNTERFOIL_MAX_WAIT_MS="60000")
    server.start()
    answers: list[set[tuple[int, bytes]]] = [set() for _ in range(KEYS)]
    answered: list[int] = []
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        caller = Caller(server)
        try:
            for key in np.random.default_rng(seed).permutation(KEYS).tolist():
                answers[key].add(caller.post("/v1/score?reasons=0", bodies[key], **{"Idempotency-Key": f"key-{key}"}))
                answered.append(key)
        except BaseException as failure:  # noqa: BLE001 - raised in the test's own thread
            failures.append(failure)
        finally:
            caller.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    kills = 0
    random = np.random.default_rng(7)
    most = (20 if request.config.getoption("--long", default=False) else 2) if killed else 0
    while kills < most and not failures:
        aim = len(answered) + int(random.integers(1, 200))
        until(lambda: failures or len(answered) >= aim)  # noqa: B023 - asked in this turn of the loop only
        server.end(signal.SIGKILL)
        kills += 1
        server.start()
    for thread in threads:
        thread.join()
    server.end(signal.SIGTERM)
    if failures:
        raise failures[0]
    decisions = recorded(server.url)
    print(f"\nidempotency: {CLIENTS} clients x {KEYS} keys, {kills} kills: {len(decisions)} rows")
    assert (kills > 0) == killed
    replies = {decision.idempotency_digest: decision.reply for decision in decisions}
    assert len(decisions) == len(replies) == KEYS
    assert answers == [{(200, replies[Key(f"key-{key}").digest(None, 0)])} for key in range(KEYS)]
