"""The OpenAPI page shows the real fields, and its example works."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

from models.scorer import Scorer
from tests.app.calls import Client


def test_the_page_and_its_document_are_served(client: Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "x-request-id" in page.headers
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(sources) >= 2
    for source in sources:  # served here: the page works without the internet
        assert client.get(source).status_code == 200
    assert client.get("/openapi.json").json()["openapi"].startswith("3.1")


def test_every_operation_stands_under_a_heading(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    headings = {path: one["tags"] for path, operations in paths.items() for one in operations.values()}
    assert all(len(heading) == 1 for heading in headings.values())
    assert headings["/v1/score"] != headings["/v1/decisions"] != headings["/healthz"]


def test_every_input_column_is_a_field_with_its_limits(client: Client, tiny_scorer: Scorer) -> None:
    document = client.get("/openapi.json").json()
    shape = document["components"]["schemas"]["Transaction"]
    assert list(shape["properties"]) == list(tiny_scorer.schema.inputs)
    assert shape["required"] == list(tiny_scorer.schema.inputs)
    assert shape["additionalProperties"] is False
    fields = shape["properties"]
    assert fields["country"]["maxLength"] == 2
    assert fields["latitude"]["minimum"] == -90
    assert fields["currency"]["const"] == "EUR"
    assert {form["type"] for form in fields["amount"]["anyOf"]} == {"number", "string"}
    assert {form["type"] for form in fields["account_age_days"]["anyOf"]} == {"number", "null"}
    assert "in EUR" in fields["amount"]["description"]
    assert "ISO 8601" in fields["timestamp"]["description"]


def test_the_examples_are_scored(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    for path in ("/v1/score", "/v1/score/batch", "/v2/models/{model}/infer"):
        example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
        reply = client.post(path.format(model="counterfoil"), json=example)
        assert reply.status_code == 200
        assert "error" not in reply.json().get("results", [{}])[0]


def test_what_is_recorded_may_have_a_key(client: Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    keyed = {
        path
        for path, operations in paths.items()
        for operation in operations.values()
        if any(one["in"] == "header" and one["name"] == "Idempotency-Key" for one in operation.get("parameters", []))
    }
    infer = {f"/v2/models/{{model}}{version}/infer" for version in ("", "/versions/{version}")}
    assert keyed == {"/v1/score", "/v1/score/batch"} | infer


def test_every_reference_leads_somewhere(client: Client) -> None:
    document = client.get("/openapi.json").json()
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
            return own.union(*(references(value) for value in node.values()))
        return set().union(*(references(value) for value in node)) if isinstance(node, list) else set()

    assert references(document) <= known


def test_every_operation_documents_its_problems(client: Client, app: FastAPI) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        "/v1/score", "/v1/score/batch", "/v1/score/csv", "/v1/feedback", "/v1/decisions", "/v1/decisions/export",
        "/v1/decisions/{transaction_id}", "/v1/purge", "/v1/lists", "/v1/lists/add", "/v1/lists/remove", "/v1/rules",
        "/v1/drift", "/v1/model", "/v1/models", "/v1/models/at",
        "/v1/models/rollback", "/v1/models/{version}", "/v1/models/{version}/activate", "/v1/models/{version}/diff",
        "/v1/models/{version}/shadow", "/v1/models/{version}/verify", "/healthz", "/readyz",
        "/v2", "/v2/health/live", "/v2/health/ready",
        *(model + path for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
          for path in ("", "/ready", "/infer")),
    }  # fmt: skip
    for path, operations in paths.items():
        problem = "InferenceProblem" if path.startswith("/v2") else "Problem"
        for method, operation in operations.items():
            statuses = set(operation["responses"])
            assert statuses >= ({"200", "400", "413", "415", "422", "503"} if method == "post" else {"200", "503"})
            for status, response in operation["responses"].items():
                assert "X-Request-ID" in response["headers"]
                schema = {"schema": {"$ref": f"#/components/schemas/{problem}"}}
                assert status == "200" or response["content"] == {"application/problem+json": schema}
