"""The OpenAPI document: FastAPI's, with the request model of the version that serves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access.guard import Access
from app.decisions import openapi as decisions
from app.generation import Generation
from app.inference import openapi as inference
from app.problems import MEDIA_TYPE, Problem
from app.requests import feedback
from app.requests.bodies import STATE_CHOICES
from app.requests.field_schema import json_schema
from app.requests.idempotency import HEADER, PATTERN
from app.rules import routes as rules
from app.settings import MAX_REASONS
from app.versions import openapi as versions

_JSON = "application/json"
_REQUEST_ID = {
    "description": "The request's id; the caller's own where it sent a harmless one",
    "schema": {"type": "string"},
}
_ERRORS = {
    "400": "The body is not valid JSON",
    "413": "The body is too large",
    "415": "The body is of another media type, compressed, or not UTF-8",
    "422": "The content does not fit the schema, or the query or a header is wrong",
    "503": "No model is loaded, or the store is out of reach; Retry-After says when to try again",
}
_MORE_ERRORS = (
    ("/v1/score", "409", "Another transaction is recorded under this id or Idempotency-Key"),
    ("/v1/feedback", "404", "No transaction with this id is recorded"),
    ("/v1/feedback", "409", "The label became known before its transaction happened"),
)
_CONVERTER = re.compile(r":\w+}")  # of a path parameter, in the route's path alone
_KEY_ERRORS = {
    "401": "No API key, or not a good one",
    "403": "The API key does not have the scope",
    "429": "Too many requests with this API key; Retry-After says in how many seconds to try again",
}
_API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. Roles are its scopes; admin has them all",
}
_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "The caller's own name for this request, e.g. a UUID: sent again with the same body it counts once "
    "and gets the answer of the first time; with another body it is refused with 409",
    "schema": {"type": "string", "pattern": PATTERN},
}
_NONE = {"description": "Anything else: a problem stands in place of its score, the others are scored"}
_STATE = {
    "name": "state",
    "in": "query",
    "required": False,
    "description": "What the rows' behaviour features go on from; nothing is recorded",
    "schema": {"type": "string", "enum": list(STATE_CHOICES), "default": "live"},
}


def document(
    app: FastAPI, generation: Generation | None, max_batch: int, access: Mapping[str, Access]
) -> dict[str, Any]:
    """The document for the model that serves; without one, a transaction is any object.

    Args:
        access: what each path asks of its caller; empty where no API keys are in use.
    """
    body = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    body["components"]["schemas"].update(problem.pop("$defs"))
    body["components"]["schemas"]["Problem"] = problem
    paths = body["paths"]
    shape = generation.requests.transaction if generation else {"type": "object"}
    example = generation.example if generation else {}
    body["components"]["schemas"]["Transaction"] = {**shape, "example": example}
    one = {"$ref": "#/components/schemas/Transaction"}
    many = {
        "type": "object",
        "properties": {"transactions": {"type": "array", "items": {"anyOf": [one, _NONE]}, "maxItems": max_batch}},
        "required": ["transactions"],
        "additionalProperties": False,
    }
    _takes(paths["/v1/score"]["post"], _JSON, one, example)
    _takes(paths["/v1/score/batch"]["post"], _JSON, many, {"transactions": [example]})
    _takes(paths["/v1/score/csv"]["post"], "text/csv", {"type": "string"}, None)
    paths["/v1/score/csv"]["post"]["parameters"].append(_STATE)
    own_id = {"type": "string"}
    if generation and generation.schema.id:
        own_id = json_schema(generation.schema.plain.columns[generation.schema.id])
    paths["/v1/feedback"]["post"]["requestBody"] = {
        "required": True,
        "content": {_JSON: {"schema": feedback.json_schema(own_id)}},
    }
    paths["/v1/score/csv"]["post"]["responses"]["200"]["content"] = {"text/csv": {"schema": {"type": "string"}}}
    for describe in (decisions.describe, rules.describe):
        describe(paths, generation.schema if generation else None)
    versions.describe(paths)
    inference.describe(paths, body["components"]["schemas"], generation)
    if generation and generation.schema.id:
        paths["/v1/score"]["post"]["responses"]["200"]["links"] = _links(paths)
    for path, operations in paths.items():
        for method, operation in operations.items():
            told = {status: one["description"] for status, one in operation["responses"].items() if status[0] == "4"}
            if path.endswith(inference.INFER):
                operation["parameters"].append(_KEY)
            _may_fail(path, operation, told | (_ERRORS if method == "post" else {"503": _ERRORS["503"]}))
    for path, status, why in _MORE_ERRORS:
        _may_fail(path, paths[path]["post"], {status: why})
    if access:
        body["components"]["securitySchemes"] = {"key": _API_KEY}
    for path, need in access.items():
        for operation in paths.get(_CONVERTER.sub("}", path), {}).values():
            if need == "open":
                operation["security"] = []
            else:
                operation["security"] = [{"key": [] if need == "any key" else [need]}]
                _may_fail(path, operation, _KEY_ERRORS)
    return body


def _links(paths: dict[str, Any]) -> dict[str, Any]:
    """What can be done with a scored transaction."""
    own_id = "$response.body#/transaction_id"
    look, label = paths["/v1/decisions/{transaction_id}"]["get"], paths["/v1/feedback"]["post"]
    return {
        "look": {"operationId": look["operationId"], "parameters": {"transaction_id": own_id}},
        "label": {
            "operationId": label["operationId"],
            "requestBody": {"transaction_id": own_id, "label": "legitimate"},
        },
    }


def _takes(operation: dict[str, Any], media_type: str, schema: dict[str, Any], example: Any) -> None:
    content = {"schema": schema} if example is None else {"schema": schema, "example": example}
    operation["requestBody"] = {"required": True, "content": {media_type: content}}
    reasons = {"type": "integer", "minimum": 0, "maximum": MAX_REASONS}
    operation["parameters"] = [_parameter("reasons", "How many reasons per transaction", reasons)]
    if media_type == _JSON:
        verify = "Whether to put what each reason is about back to what is usual, score again, and say what changed"
        operation["parameters"] += [_parameter("verify", verify, {"type": "boolean", "default": False}), _KEY]


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _may_fail(path: str, operation: dict[str, Any], statuses: dict[str, str]) -> None:
    problem = inference.PROBLEM if path.startswith(inference.PROTOCOL) else Problem.__name__
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{problem}"}}}
    for status, description in statuses.items():
        operation["responses"][status] = {"description": description, "content": content}
    for response in operation["responses"].values():
        response["headers"] = {"X-Request-ID": _REQUEST_ID}
