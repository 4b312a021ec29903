"""GET /v1/decisions: what was recorded is told as it was answered, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from fastapi import FastAPI

from app.decisions.query import cursor, read_cursor
from app.requests.example import example_transaction
from app.service import create_app
from app.settings import Settings
from models.registry import Registry
from models.scorer import Scorer
from tests import private_servers
from tests.app.calls import CARDS, Client
from tests.app.recording.test_recorder import behaviour_of, recorded
from tests.app.records import changed, sent
from tests.app.traffic import Payments, label_body

_JSON = {"Content-Type": "application/json"}


@dataclass
class Log:
    """Ten decisions of a running application, as they were sent and answered."""

    app: FastAPI
    client: Client
    bodies: list[dict[str, Any]]
    replies: list[dict[str, Any]]

    def page(self, **query: Any) -> dict[str, Any]:
        answer = self.client.get(f"/v1/decisions?{urlencode(query)}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ids(self, **query: Any) -> list[str]:
        return [one["transaction_id"] for one in self.page(**query)["decisions"]]


def ask(app: FastAPI, path: str, query: bytes = b"") -> httpx.Response:
    """GET with a path or a query that a client would tidy up, or never send."""

    async def direct(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "path": path, "raw_path": quote(path).encode(), "query_string": query}, receive, send)

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(direct), base_url="http://test") as client:
            return await client.get("/")

    return asyncio.run(get())


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('decisions') / 'log.db'}"


@pytest.fixture(scope="module")
def log(payments: Payments, database: str) -> Iterator[Log]:
    app = create_app(Settings(database_url=database, artifacts=payments.artifacts), payments.scorer)
    client = Client(app)
    rows = [json.loads(row) for row in sent(payments, 10)]
    rows[7]["amount"] = 99_999.0  # something odd
    replies = []
    for row in rows:
        answer = client.post("/v1/score?reasons=2", json=row)
        assert answer.status_code == 200
        replies.append(answer.json())
    for verdict in ("disputed", "fraud"):
        body = label_body(rows[3]["transaction_id"], verdict)
        assert client.post("/v1/feedback", content=body, headers=_JSON).status_code == 200
    yield Log(app, client, rows, replies)
    app.state.serving.close()


def test_a_page_tells_what_was_answered_newest_first(log: Log) -> None:
    page = log.page()
    assert page["next"] is None
    newest_first = list(zip(log.bodies, log.replies, strict=True))[::-1]
    for one, (body, reply) in zip(page["decisions"], newest_first, strict=True):
        for name in ("transaction_id", "score", "threshold", "is_anomaly", "decision", "model_version"):
            assert one[name] == reply[name]
        assert one["reconstruction_error"] == reply["reconstruction_error"]
        assert one["time"].replace("Z", "")[:19] == body["timestamp"][:19]
        assert one["transaction"] == {**body, "timestamp": one["time"]}
        assert one["arrived_at"].endswith("Z") and one["latency_ms"] > 0 and one["caller"] is None
    assert [one["seq"] for one in page["decisions"]] == list(range(10, 0, -1))
    assert [one["label"] for one in page["decisions"]] == [None] * 6 + ["fraud"] + [None] * 3


def test_reasons_can_be_asked_for_afterwards(log: Log) -> None:
    for body, reply in zip(log.bodies, log.replies, strict=True):
        path = f"/v1/decisions/{body['transaction_id']}"
        assert log.client.get(path).json()["reasons"] == reply["reasons"]
        more = log.client.get(f"{path}?reasons=4").json()
        assert len(more["reasons"]) == 4
        for told, answered in zip(more["reasons"], reply["reasons"], strict=False):
            assert told == answered
        assert more | {"reasons": []} == log.client.get(path).json() | {"reasons": []}
    for query in ("reasons=21", "reasons=-1", "reasons=x", "verify=true"):
        assert log.client.get(f"{path}?{query}").status_code == 422


def test_pages_go_on_where_the_one_before_ended(log: Log) -> None:
    found: list[str] = []
    after: dict[str, str] = {}
    sizes = []
    while True:
        page = log.page(limit=4, **after)
        found += [one["transaction_id"] for one in page["decisions"]]
        sizes.append(len(page["decisions"]))
        if page["next"] is None:
            break
        after = {"cursor": page["next"]}
    assert sizes == [4, 4, 2]
    assert found == [body["transaction_id"] for body in log.bodies[::-1]]


def test_filters(log: Log) -> None:
    everything = log.page()["decisions"]
    all_ids = [one["transaction_id"] for one in everything]
    odd = log.bodies[7]["transaction_id"]
    assert odd in log.ids(is_anomaly="true")
    assert sorted(log.ids(is_anomaly="true") + log.ids(is_anomaly="false")) == sorted(all_ids)
    assert log.ids(decision="approve") == [one["transaction_id"] for one in everything if one["decision"] == "approve"]
    score = everything[4]["score"]
    assert log.ids(min_score=f"{score:.17f}") == [one["transaction_id"] for one in everything if one["score"] >= score]
    middle = everything[5]["arrived_at"]
    assert log.ids(since=middle) == all_ids[:6]
    assert log.ids(until=middle) == all_ids[6:]
    assert log.ids(since="1d") == all_ids and log.ids(until="1d") == []
    for section, column in (("card", "card_id"), ("merchant", "merchant_id")):
        value = log.bodies[2][column]
        of_it = [body["transaction_id"] for body in log.bodies[::-1] if body[column] == value]
        assert log.ids(**{section: value}) == of_it
        assert log.ids(**{section: "nobody"}) == []
    assert log.ids(transaction_id=odd) == [odd]
    assert log.ids(label="fraud") == [log.bodies[3]["transaction_id"]]
    assert log.ids(label="disputed") == []
    version = log.replies[0]["model_version"]
    assert log.ids(model_version=version) == all_ids
    assert log.ids(model_version="other") == log.ids(caller="nobody") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("colour=red", "colour"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=5&limit=6", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=AAAAAAAAAAB", "cursor"),  # of the same bytes as another text
        ("cursor=__________8", "cursor"),  # before the first place
        ("since=yesterday", "since"),
        ("until=", "until"),
        ("decision=perhaps", "decision"),
        ("is_anomaly=1", "is_anomaly"),
        ("min_score=1.5", "min_score"),
        ("min_score=nan", "min_score"),
        ("label=frad", "label"),
        ("card=a&card=b", "card"),
        ("caller=%00", "caller"),
        (f"transaction_id={'x' * 1_001}", "transaction_id"),
        ("model_version=%ff", ""),
        ("model_version=\xe9", ""),
        ("&".join(["limit=1"] * 60), ""),
        ("format=csv", "format"),
        (f"card={CARDS[0]}", "card"),
        (f"transaction_id=a-{CARDS[1]}", "transaction_id"),
        (f"{CARDS[0]}=1", "(withheld)"),
    ],
)
def test_any_other_query_is_refused_by_name(log: Log, query: str, field: str) -> None:
    answer = ask(log.app, "/v1/decisions", query.encode("latin-1"))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not any(card in answer.text for card in CARDS)


def test_one_decision_whole(log: Log, payments: Payments, database: str) -> None:
    body, reply = log.bodies[3], log.replies[3]
    one = log.client.get(f"/v1/decisions/{body['transaction_id']}").json()
    (line,) = log.page(transaction_id=body["transaction_id"])["decisions"]
    assert {name: one[name] for name in line} == line
    assert one["reasons"] == reply["reasons"] and one["approximate"] == reply["approximate"]
    assert {**one["transaction"], "timestamp": body["timestamp"]} == body
    assert one["transaction"]["timestamp"] == one["time"]
    schema = payments.schema
    assert list(one["features"]) == list(schema.features)
    (kept,) = [d for d in recorded(database) if d.transaction_id == body["transaction_id"]]
    assert {name: one["features"][name] for name in schema.numeric} == behaviour_of(payments, kept)
    assert one["features"]["channel"] == body["channel"]
    when = datetime.fromisoformat(one["transaction"]["timestamp"])
    told = {"hour": f"{when:%H:%M}", "weekday": f"{when:%A}"}
    assert schema.cycles  # those that the history covers
    assert [one["features"][f"timestamp.{cycle}"] for cycle in schema.cycles] == [told[c] for c in schema.cycles]
    assert [label["label"] for label in one["labels"]] == ["disputed", "fraud"]
    assert one["labels"][-1]["known_at"] == one["label_known_at"]


def test_a_version_that_is_gone_leaves_the_features_unnamed(log: Log, payments: Payments, tmp_path: Path) -> None:
    nothing = Settings(artifacts=tmp_path, database_url=f"sqlite:///{tmp_path / 'log.db'}")
    body = sent(payments, 1)[0]
    first = create_app(nothing, payments.scorer)
    assert Client(first).post("/v1/score", content=body, headers=_JSON).status_code == 200
    first.state.serving.close()
    bundle = payments.scorer.bundle
    manifest = bundle.manifest.model_copy(update={"version": "20990101T000000Z-00000000"})
    renamed = type(bundle)(bundle.path, manifest, bundle.detector, bundle.golden)
    second = create_app(nothing, Scorer(renamed))
    name = json.loads(body)["transaction_id"]
    one = Client(second).get(f"/v1/decisions/{name}").json()
    second.state.serving.close()
    assert one["features"] is None and one["transaction"]["transaction_id"] == name
    refused = Client(second).get(f"/v1/decisions/{name}?reasons=2")
    assert refused.status_code == 409 and "ask without reasons" in refused.text
    assert one["model_version"] == payments.scorer.manifest.version


ODD = ["a/b", "/", "//x/", "a b", "100%", "%2F", "q?x=1", "#1", "ünï-💳", "a+b", "..", ".", "a;b,c", "export/", "'\"<"]


@pytest.mark.parametrize("name", ODD)
def test_any_id_can_be_asked_for(log: Log, name: str) -> None:
    body = changed(json.dumps(log.bodies[0]).encode(), transaction_id=name)
    assert log.client.post("/v1/score", content=body, headers=_JSON).status_code == 200
    # No client may tidy the path up, so the server's own view of it is given.
    one = ask(log.app, f"/v1/decisions/{name}")
    assert one.status_code == 200 and one.json()["transaction_id"] == name
    assert log.ids(transaction_id=name) == [name]


def test_an_id_is_percent_encoded(log: Log) -> None:
    for name in ("a/b c?d#e%f", "ü/💳"):
        body = changed(json.dumps(log.bodies[0]).encode(), transaction_id=name)
        assert log.client.post("/v1/score", content=body, headers=_JSON).status_code == 200
        assert log.client.get(f"/v1/decisions/{quote(name, safe='')}").json()["transaction_id"] == name
        assert log.client.get(f"/v1/decisions/{quote(name, safe='/')}").json()["transaction_id"] == name


@pytest.mark.parametrize(
    ("name", "status"),
    [("nobody", 404), (CARDS[0], 422), (f"x-{CARDS[2]}/y", 422), ("", 422), ("a\0b", 422), ("x" * 1_001, 422)],
)
def test_an_id_that_is_not_there_or_none(log: Log, name: str, status: int) -> None:
    answer = ask(log.app, f"/v1/decisions/{name}")
    assert answer.status_code == status
    assert not any(card in answer.text for card in CARDS)


def test_a_single_decision_takes_no_query(log: Log) -> None:
    answer = log.client.get(f"/v1/decisions/{log.bodies[0]['transaction_id']}?limit=1")
    assert answer.json()["errors"][0]["field"] == "limit"


def test_without_ids_the_place_stands_for_the_decision(nameless: Registry, own_store: str) -> None:
    scorer = Scorer.load(nameless.resolve(None))
    app = create_app(Settings(artifacts=nameless.root, database_url=own_store), scorer)
    client = Client(app)
    body = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    replies = [client.post("/v1/score", json={**body, "amount": amount}).json() for amount in (1.0, 2.0)]
    for seq, reply in enumerate(replies, 1):
        one = client.get(f"/v1/decisions/{seq}").json()
        assert (one["seq"], one["score"], one["transaction"]["amount"]) == (seq, reply["score"], float(seq))
        assert one["features"]["account_age_days"] == body["account_age_days"]
    for name in ("0", "3", "x", "9" * 30, "\u0661"):
        assert client.get(f"/v1/decisions/{name}").status_code == 404
    answer = client.get("/v1/decisions?card=a")
    assert answer.json()["errors"][0]["field"] == "card"  # this schema has no [entity] section
    app.state.serving.close()


def test_reading_waits_for_nobody_who_scores(log: Log) -> None:
    ledger, gate = log.app.state.serving.ledger, threading.Event()

    async def read() -> httpx.Response:
        busy = asyncio.ensure_future(ledger.run(gate.wait))
        await asyncio.sleep(0)
        try:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(log.app), base_url="http://test") as client:
                answer = await asyncio.wait_for(client.get("/v1/decisions"), 30)
            assert not busy.done()
        finally:
            gate.set()
            await busy
        return answer

    assert asyncio.run(read()).status_code == 200


def test_before_a_model_is_loaded(settings: Settings) -> None:
    client = Client(create_app(settings))
    for path in ("/v1/decisions", "/v1/decisions/export", "/v1/decisions/x"):
        assert client.get(path).status_code == 503


def test_cursors_lead_back() -> None:
    for place in (0, 1, 255, 2**40, 2**62):
        assert read_cursor(cursor(place)) == place


def test_a_store_that_cannot_be_read_is_told_in_the_log_alone(
    tiny_scorer: Scorer, caplog: pytest.LogCaptureFixture
) -> None:
    with private_servers.redis() as server:
        app = create_app(Settings(database_url=server.url), tiny_scorer)
        client = Client(app)
        assert client.get("/v1/decisions").status_code == 200
        server.kill()
        for path in ("", "/one", "/export", "/export?format=parquet"):
            answer = client.get(f"/v1/decisions{path}")
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert answer.json()["type"] == "urn:counterfoil:problem:store-unavailable"
            assert "127.0.0.1" not in answer.text
        said = [record.getMessage() for record in caplog.records if record.name.startswith("app")]
        assert len(said) == 1
        assert said[0].startswith("the store cannot be read: Redis at 127.0.0.1:")
        client.get("/readyz")  # from here on the ledger tells it
        app.state.decisions._said = -1e9
        client.get("/v1/decisions")
        told = [record.getMessage() for record in caplog.records if record.name.startswith("app")]
        assert [message.split(":")[0] for message in told[1:]] == ["the store takes no writes"]
        app.state.serving.close()
