"""POST /v1/score and /v1/score/batch, GET /v1/model, /healthz, /readyz."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
from fastapi import FastAPI

from app.service import create_app
from app.settings import Settings
from models.parsing import parse_rows
from models.scorer import Scorer
from tests.app.calls import Client, exchange, renewed

JSON = {"Content-Type": "application/json"}


def test_reply_holds_what_the_scorer_says(
    client: Client, transaction: dict[str, Any], tiny_scorer: Scorer, tiny_frame: pl.DataFrame
) -> None:
    cells = tiny_frame.head(40).select(tiny_scorer.schema.inputs)
    batch = parse_rows(tiny_scorer.schema, cells).batch(tiny_scorer.vocabulary)
    scores = tiny_scorer.score(batch, explain=True)
    for number, cell in enumerate(cells.to_dicts()):
        row = renewed(cell, timestamp=cell["timestamp"].isoformat())
        reply = client.post("/v1/score?reasons=2", json=row).json()
        assert reply["transaction_id"] == row["transaction_id"]
        assert reply["score"] == pytest.approx(scores.score[number], rel=1e-12)
        assert reply["reconstruction_error"] == pytest.approx(scores.error[number], rel=1e-12)
        assert reply["threshold"] == tiny_scorer.manifest.threshold.score
        assert reply["is_anomaly"] is bool(reply["score"] >= reply["threshold"])
        assert reply["decision"] == ("review" if reply["is_anomaly"] else "approve")
        assert reply["model_version"] == tiny_scorer.manifest.version
        expected = tiny_scorer.reasons(batch, scores, number, 2)
        assert [reason["text"] for reason in reply["reasons"]] == [reason.text for reason in expected]


def test_reply_has_exactly_the_documented_fields(client: Client, transaction: dict[str, Any]) -> None:
    response = client.post("/v1/score", json=transaction)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    reply = response.json()
    assert list(reply) == [
        "transaction_id",
        "score",
        "threshold",
        "is_anomaly",
        "decision",
        "reconstruction_error",
        "reasons",
        "model_version",
        "approximate",
        "logged",
    ]
    assert len(reply["reasons"]) == 3
    assert set(reply["reasons"][0]) == {"feature", "value", "expected", "share", "direction", "text", "verified"}


@pytest.mark.parametrize(("query", "count"), [("", 3), ("?reasons=0", 0), ("?reasons=1", 1), ("?reasons=20", 20)])
def test_reasons_as_many_as_asked_and_there_are(
    client: Client, transaction: dict[str, Any], tiny_scorer: Scorer, query: str, count: int
) -> None:
    reply = client.post(f"/v1/score{query}", json=transaction).json()
    assert len(reply["reasons"]) == min(count, max(tiny_scorer.schema.causes) + 1)


@pytest.mark.parametrize("path", ["/v1/score", "/v1/score/batch", "/v1/score/csv"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("reasons=21", "reasons"),
        ("reasons=-1", "reasons"),
        ("reasons=x", "reasons"),
        ("reasons=", "reasons"),
        ("reasons", "reasons"),
        ("reasons=%31", "reasons"),
        ("reasons=1&reasons=2", "reasons"),
        ("reasons=1&limit=3", "limit"),
        ("reasons=1&", "(withheld)"),
        ("4111111111111111=1", "(withheld)"),
    ],
)
def test_a_wrong_query_is_refused(
    client: Client, transaction: dict[str, Any], path: str, query: str, field: str
) -> None:
    response = client.post(f"{path}?{query}", json=transaction)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:counterfoil:problem:invalid-query"
    assert response.json()["errors"][0]["field"] == field


def test_reasons_are_verified_on_demand(client: Client, transaction: dict[str, Any]) -> None:
    odd = renewed(transaction, amount=90_000.0)
    reply = client.post("/v1/score?reasons=2&verify=true", json=odd).json()
    for reason in reply["reasons"]:
        assert set(reason["verified"]) == {"score", "drop", "decision", "flips"}
        assert reason["verified"]["drop"] == pytest.approx(reply["score"] - reason["verified"]["score"])
    plain = client.post("/v1/score?verify=false&reasons=2", json=renewed(odd)).json()
    assert [reason["verified"] for reason in plain["reasons"]] == [None, None]
    other = renewed(odd)
    results = client.post("/v1/score/batch?reasons=2&verify=true", json={"transactions": [other]}).json()["results"]
    assert results == [{**reply, "transaction_id": other["transaction_id"]}]
    assert client.post("/v1/score?verify=1", json=odd).status_code == 422
    assert client.post("/v1/score/csv?verify=true", json=odd).status_code == 422


def test_amount_as_text_and_as_number_are_one(client: Client, transaction: dict[str, Any]) -> None:
    as_number = client.post("/v1/score", json={**transaction, "amount": 12.34})
    as_text = client.post("/v1/score", json={**transaction, "amount": "12.34"})
    assert as_number.status_code == as_text.status_code == 200
    assert as_number.content == as_text.content  # the same transaction: the stored answer
    fresh = client.post("/v1/score", json=renewed(transaction, amount="12.34")).json()
    assert fresh["score"] == as_number.json()["score"]


def test_a_missing_number_is_scored_where_the_schema_allows_it(client: Client, transaction: dict[str, Any]) -> None:
    assert client.post("/v1/score", json=renewed(transaction, account_age_days=None)).status_code == 200
    refused = client.post("/v1/score", json={**transaction, "latitude": None})
    assert refused.json()["errors"] == [{"field": "latitude", "message": "missing value"}]


def test_batch_keeps_order_and_survives_bad_rows(client: Client, transaction: dict[str, Any]) -> None:
    rows = [{**transaction, "transaction_id": f"t-{number}", "amount": 5.0 + number} for number in range(20)]
    bad: dict[int, Any] = {
        3: 17,
        5: {**transaction, "amount": "much"},
        8: {},
        11: {**transaction, "more": 1},
        13: None,
        19: [],
    }
    body = {"transactions": [bad.get(number, row) for number, row in enumerate(rows)]}
    response = client.post("/v1/score/batch?reasons=1", json=body)
    assert response.status_code == 200
    assert response.json()["model_version"] == client.get("/v1/model").json()["version"]
    results = response.json()["results"]
    assert len(results) == 20
    for number, result in enumerate(results):
        if number in bad:
            assert set(result) == {"error"}
            assert result["error"]["status"] == 422
            assert result["error"]["request_id"] == response.headers["x-request-id"]
        else:
            alone = client.post("/v1/score?reasons=1", json=rows[number]).json()
            assert result["score"] == pytest.approx(alone["score"], rel=1e-6)
            assert result["transaction_id"] == f"t-{number}"
            assert result["reasons"][0]["feature"] == alone["reasons"][0]["feature"]
    assert results[5]["error"]["errors"] == [{"field": "amount", "message": "not a number"}]
    assert results[3]["error"]["errors"] == [{"field": "", "message": "expected a JSON object"}]


def test_batch_of_none_and_of_the_most(client: Client, transaction: dict[str, Any], settings: Settings) -> None:
    assert client.post("/v1/score/batch", json={"transactions": []}).json()["results"] == []
    most = client.post("/v1/score/batch", json={"transactions": [transaction] * settings.max_batch})
    assert len(most.json()["results"]) == settings.max_batch
    more = client.post("/v1/score/batch", json={"transactions": [transaction] * (settings.max_batch + 1)})
    assert more.status_code == 422
    message = f"more than {settings.max_batch} transactions, the most of one request"
    assert more.json()["errors"] == [{"field": "transactions", "message": message}]


def test_a_field_that_appears_twice_is_refused(client: Client, transaction: dict[str, Any]) -> None:
    whole = json.dumps(transaction)
    twice = whole.replace('"amount":', '"amount": 1.0, "amount":')
    assert twice != whole
    response = client.post("/v1/score", content=twice, headers=JSON)
    assert response.status_code == 422
    assert response.json()["errors"] == [{"field": "amount", "message": "appears twice"}]
    batch = f'{{"transactions": [{whole}, {twice}, {whole}]}}'
    results = client.post("/v1/score/batch", content=batch, headers=JSON).json()["results"]
    assert ["error" in result for result in results] == [False, True, False]
    assert results[1]["error"]["errors"] == [{"field": "amount", "message": "appears twice"}]
    outer = f'{{"transactions": [], "transactions": [{whole}]}}'
    assert client.post("/v1/score/batch", content=outer, headers=JSON).status_code == 422


def test_escapes_and_spaces_are_no_second_field(client: Client, transaction: dict[str, Any]) -> None:
    quoted = renewed(transaction, merchant_id='the "best": shop', category="\\")
    assert client.post("/v1/score", json=quoted).status_code == 200
    spaced = json.dumps(quoted, indent=3, separators=(" ,", " : "))
    assert client.post("/v1/score", content=spaced, headers=JSON).status_code == 200


def test_model_tells_all_but_where_it_lies(client: Client, tiny_scorer: Scorer) -> None:
    reply = client.get("/v1/model")
    body = reply.json()
    manifest = tiny_scorer.manifest
    assert body["version"] == manifest.version
    assert list(body["schema"]["columns"]) == list(manifest.transaction_schema.columns)
    assert body["threshold"]["policy"]["name"] == manifest.threshold.policy.name
    assert body["calibration_rows"] == manifest.calibration.rows
    assert body["training"]["train"]["start"] == manifest.training.train.start
    assert body["architecture"]["code_size"] == manifest.architecture.code_size
    assert "roc_auc" in body["metrics"]
    assert str(tiny_scorer.bundle.path.parent) not in reply.text


def test_ready_only_once_a_model_is_loaded(settings: Settings, own_store: str) -> None:
    app = create_app(settings.model_copy(update={"database_url": own_store}))
    cold = Client(app)  # the application's start has not run
    assert cold.get("/healthz").json() == {"status": "alive"}
    for response in (cold.get("/readyz"), cold.get("/v1/model"), cold.post("/v1/score", json={})):
        assert response.status_code == 503
        assert response.json()["type"] == "urn:counterfoil:problem:not-ready"
    assert cold.get("/openapi.json").status_code == 200

    async def warm_up() -> None:
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://test") as warm,
        ):
            assert (await warm.get("/readyz")).json()["status"] == "ready"

    asyncio.run(warm_up())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_may_ask_with_head(client: Client, settings: Settings, path: str) -> None:
    asked, headed = client.get(path), client.request("HEAD", path)
    assert (headed.status_code, headed.content) == (asked.status_code, b"") == (200, b"")
    assert headed.headers["content-length"] == asked.headers["content-length"]
    assert sorted(client.post(path).headers["allow"].split(", ")) == ["GET", "HEAD"]
    cold = Client(create_app(settings))
    assert cold.request("HEAD", path).status_code == cold.get(path).status_code


def test_body_is_counted_while_it_streams(app: FastAPI, settings: Settings, transaction: dict[str, Any]) -> None:
    part = b" " * 10_000
    result = asyncio.run(exchange(app, "/v1/score", [part] * 100, JSON))
    assert result.status == 413
    assert result.json()["type"] == "urn:counterfoil:problem:too-large"
    assert result.taken == settings.max_body_bytes // len(part) + 1
    declared = asyncio.run(exchange(app, "/v1/score", [part], {**JSON, "Content-Length": "70000"}))
    assert (declared.status, declared.taken) == (413, 0)
    body = json.dumps(transaction).encode()
    pieces = [body[start : start + 7] for start in range(0, len(body), 7)]
    assert asyncio.run(exchange(app, "/v1/score", pieces, JSON)).status == 200


def test_a_client_that_goes_away_is_no_error(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="counterfoil")
    result = asyncio.run(exchange(app, "/v1/score", [], JSON))
    assert result.status == 0
    assert "the client went away" in caplog.text


def test_scores_are_finite_at_the_edges(client: Client, transaction: dict[str, Any]) -> None:
    for name, value in [("account_age_days", 3.4028234663852886e38), ("amount", 1e9), ("account_age_days", 5e-324)]:
        reply = client.post("/v1/score", json=renewed(transaction, **{name: value})).json()
        assert np.isfinite(reply["score"])
        assert 0 <= reply["score"] < 1
        assert np.isfinite(reply["reconstruction_error"])
