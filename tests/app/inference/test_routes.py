"""The Open Inference Protocol: the scores of ``POST /v1/score/batch``, recorded alike, in the protocol's words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from app.inference.routes import datatype
from models.scorer import Scorer
from tests.app.calls import CARDS, Client, renewed

PATH = "/v2/models/counterfoil"


def tensors(rows: Sequence[dict[str, Any]], nested: bool = False) -> list[dict[str, Any]]:
    """What tritonclient (binary_data=False) and kserve's client send: a tensor for each column."""
    found = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        kind = "BYTES" if isinstance(values[0], str) else "FP64"
        shape, data = ([len(rows), 1], [[value] for value in values]) if nested else ([len(rows)], values)
        found.append({"name": name, "shape": shape, "datatype": kind, "data": data})
    return found


def data(reply: dict[str, Any]) -> dict[str, list[Any]]:
    return {one["name"]: one["data"] for one in reply["outputs"]}


def test_health_and_what_serves(client: Client, tiny_scorer: Scorer) -> None:
    version = tiny_scorer.manifest.version
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["name"] == "counterfoil"
    for path in (PATH, f"{PATH}/versions/{version}"):
        assert client.get(path + "/ready").json() == {"name": "counterfoil", "ready": True}
        found = client.get(path).json()
        assert found["versions"] == [version]
        assert {one["name"]: one["datatype"] for one in found["inputs"]}["amount"] == "FP64"
        assert [one["name"] for one in found["inputs"]] == list(tiny_scorer.schema.inputs)
    for path in ("/v2/models/other", f"{PATH}/versions/9", "/v2/models/other/ready"):
        reply = client.get(path)
        assert reply.status_code == 404 and reply.json()["error"] == reply.json()["detail"]


@pytest.mark.parametrize("nested", [False, True])
def test_scores_are_those_of_the_batch_and_recorded_once(
    client: Client, transaction: dict[str, Any], nested: bool
) -> None:
    rows = [renewed(transaction), renewed(transaction, amount=9_999.0)]
    asked = {"id": "r-1", "inputs": tensors(rows, nested), "outputs": [{"name": "decision"}, {"name": "score"}]}
    first = client.post(PATH + "/infer", json=asked)
    assert first.status_code == 200, first.text
    reply = first.json()
    assert reply["id"] == "r-1" and [one["name"] for one in reply["outputs"]] == ["decision", "score"]
    assert all(one["shape"] == [2] for one in reply["outputs"])
    batch = client.post("/v1/score/batch", json={"transactions": rows}).json()["results"]  # given before
    assert data(reply) == {name: [one[name] for one in batch] for name in ("decision", "score")}
    again = client.post(f"{PATH}/versions/{reply['model_version']}/infer", json={"inputs": tensors(rows)})
    assert data(again.json())["threshold"] == [one["threshold"] for one in batch]
    assert {one["datatype"] for one in again.json()["outputs"]} == {"FP64", "BOOL", "BYTES"}
    assert client.get(f"/v1/decisions/{rows[0]['transaction_id']}").json()["score"] == batch[0]["score"]


def test_nothing_is_recorded_where_one_transaction_is_wrong(client: Client, transaction: dict[str, Any]) -> None:
    good, bad = renewed(transaction), renewed(transaction, card_id=CARDS[0])
    reply = client.post(PATH + "/infer", json={"inputs": tensors([good, bad])})
    assert reply.status_code == 422 and reply.json()["error"].startswith("transaction 1 (from 0): card_id: looks like")
    assert CARDS[0] not in reply.text
    assert client.get(f"/v1/decisions/{good['transaction_id']}").status_code == 404
    client.post("/v1/score", json=good)
    other = client.post(PATH + "/infer", json={"inputs": tensors([{**good, "amount": 1.5}])})
    assert other.status_code == 409 and "another transaction is recorded" in other.json()["error"]


def changed(inputs: list[dict[str, Any]], name: str, **changes: Any) -> list[dict[str, Any]]:
    return [{**one, **changes} if one["name"] == name else one for one in inputs]


def test_what_is_no_request_is_told_in_the_protocols_words(client: Client, transaction: dict[str, Any]) -> None:
    good = tensors([renewed(transaction)])
    wrong: list[tuple[Any, str]] = [
        ({"inputs": changed(good, "amount", data=["x"])}, "amount: data: a value is not of the datatype"),
        ({"inputs": changed(good, "amount", data=[True])}, "amount: data: a value is not of the datatype"),
        ({"inputs": changed(good, "amount", data=[[[1.0]]])}, "amount: data: a value is not of the datatype"),
        ({"inputs": changed(good, "amount", shape=[2])}, "amount: data: not as many values as the shape says"),
        ({"inputs": changed(good, "amount", shape=[1, 2])}, "amount: shape: expected [n] or [n, 1]"),
        ({"inputs": changed(good, "amount", datatype="REAL")}, "amount: datatype: expected BYTES"),
        ({"inputs": changed(good, "amount", shape=[2], data=[1.0, 2.0])}, "inputs: not all tensors are of one length"),
        ({"inputs": [*good, good[0]]}, "transaction_id: appears twice"),
        ({"inputs": [*good, {**good[0], "name": CARDS[0]}]}, "transaction 0 (from 0): (withheld): unknown field"),
        ({"inputs": good[1:]}, "transaction 0 (from 0): transaction_id: missing field"),
        ({"inputs": good, "outputs": [{"name": "fraud"}]}, "outputs: expected names among score"),
        ({"inputs": good, "id": CARDS[0]}, "id: looks like a card number"),
        ({"inputs": []}, "1 field is not as expected"),
        ({}, "1 field is not as expected"),
        ([], "1 field is not as expected"),
    ]
    for body, error in wrong:
        reply = client.post(PATH + "/infer", json=body)
        assert reply.status_code == 422 and reply.json()["error"].startswith(error), reply.text
        assert CARDS[0] not in reply.text
    for content in (b"{", b"[" * 10_000):
        assert client.post(PATH + "/infer", content=content).status_code == 400
    for number in ("NaN", "1e999"):
        text = json.dumps({"inputs": changed(good, "amount", data=["N"])}).replace('"N"', number)
        reply = client.post(PATH + "/infer", content=text)
        assert reply.status_code == 422 and reply.json()["error"] == "amount: data: a value is not finite"
    binary = {"Inference-Header-Content-Length": "9"}
    assert client.post(PATH + "/infer", content=json.dumps({"inputs": good}), headers=binary).status_code == 415
    assert client.post(PATH + "/infer?x=1", json={"inputs": good}).status_code == 422
    assert client.get("/v2/nowhere").json()["error"] and client.get(PATH + "/infer").status_code == 405
    assert "error" not in client.get("/nowhere").json()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ({"type": ["string", "null"]}, "BYTES"),
        ({"type": ["number", "string", "null"]}, "FP64"),
        ({"type": ["string", "integer", "number", "boolean"]}, "BYTES"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "INT64"),
    ],
)
def test_a_field_of_several_types_has_one_as_a_tensor(shape: dict[str, Any], expected: str) -> None:
    assert datatype(shape) == expected
