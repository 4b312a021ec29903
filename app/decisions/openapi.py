"""The decision log's routes in the OpenAPI document: their parameters, their files, their refusals."""

from __future__ import annotations

from typing import Any

from app.decisions.purge_request import json_schema
from app.decisions.query import CURSOR, DEFAULT_LIMIT, FORMATS, MOST, entity_filters
from app.requests.feedback import LABELS
from app.requests.field_schema import NO_NUL, TIME
from app.settings import MAX_REASONS
from models.schema import TransactionSchema
from models.thresholds import DECISIONS

PAGE, EXPORT, ONE = "/v1/decisions", "/v1/decisions/export", "/v1/decisions/{transaction_id}"
PURGE = "/v1/purge"
_TEXT: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 1_000, "pattern": NO_NUL}
_FILTERS = (
    ("since", "Arrived at this time or later: ISO 8601, or so long ago, e.g. 7d", TIME),
    ("until", "Arrived before this time", TIME),
    ("decision", "As answered", {"type": "string", "enum": list(DECISIONS)}),
    ("is_anomaly", "score >= threshold", {"type": "boolean"}),
    ("min_score", "This score or more", {"type": "number", "minimum": 0, "maximum": 1}),
    ("transaction_id", "As sent", _TEXT),
    ("model_version", "The version that scored", _TEXT),
    ("caller", "Who asked", _TEXT),
    ("label", "The latest", {"type": "string", "enum": list(LABELS)}),
)
_CURSOR = {"type": "string", "pattern": CURSOR}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT}
_REASONS = {"type": "integer", "minimum": 0, "maximum": MAX_REASONS}
_REFUSED = "A parameter is not as expected, or looks like a card number"


def describe(paths: dict[str, Any], schema: TransactionSchema | None) -> None:
    """Say of the routes in a document what the routes themselves do not.

    Args:
        schema: of the model that serves; its entities are filters.
    """
    entities = entity_filters(schema) if schema else {}
    filters = [_query(*one) for one in _FILTERS]
    filters += [_query(name, f"Of this {name}: its {column}", _TEXT) for name, column in entities.items()]
    page, export, one = (paths[path]["get"] for path in (PAGE, EXPORT, ONE))
    limit = _query("limit", "Most decisions in the page", _LIMIT)
    page["parameters"] = [*filters, limit, _query("cursor", "The next of the page before", _CURSOR)]
    form = {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]}
    table = "The transactions themselves, oldest first, with the schema's columns and its label: what training reads"
    export["parameters"] = [
        *filters,
        _query("format", "Of the file", form),
        _query("transactions", table, {"type": "boolean", "default": False}),
    ]
    export["responses"]["200"]["content"] = {
        "text/csv": {"schema": {"type": "string"}},
        "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    }
    one["parameters"] = [
        {
            "name": "transaction_id",
            "in": "path",
            "required": True,
            "description": "Its id, percent-encoded; slashes may stand as they are",
            "schema": _TEXT,
        },
        _query("reasons", "How many reasons, also where none were asked for then", _REASONS),
    ]
    for operation in (page, export, one):
        operation["responses"]["422"] = {"description": _REFUSED}
    purge = paths[PURGE]["post"]
    purge["requestBody"] = {"required": True, "content": {"application/json": {"schema": json_schema(schema)}}}
    purge["responses"]["409"] = {"description": "Another purge is running"}
    one["responses"]["409"] = {"description": "The version that scored it cannot tell reasons any more"}
    one["responses"]["404"] = {"description": "No transaction with this id is recorded"}


def _query(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
