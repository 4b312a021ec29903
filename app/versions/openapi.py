"""The registry's routes in the OpenAPI document: their parameters, their bodies, their refusals."""

from __future__ import annotations

from typing import Any

from app.requests.field_schema import TIME as TIME_SCHEMA
from app.versions.routes import OTHER, REPORT, SHA256, TIME

_ONE = "/v1/models/{version}"
#: As in the manifest.
_VERSION = {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$"}
_NONE = "There is no such version, or it shadows nothing"
_BODY = {
    "type": "object",
    "properties": {
        REPORT: {"type": "string", "pattern": SHA256, "description": "SHA-256 of the report that it is decided on"}
    },
    "additionalProperties": False,
}
_CANNOT = "The version is damaged or cannot take over while the service runs, or nothing served before; it says why"


def describe(paths: dict[str, Any]) -> None:
    """Say of the routes in a document what the routes themselves do not."""
    own = {"name": "version", "in": "path", "required": True, "description": "Its name", "schema": _VERSION}
    diff, at = paths[_ONE + "/diff"]["get"], paths["/v1/models/at"]["get"]
    for path, operations in paths.items():
        for operation in operations.values() if path.startswith("/v1/models") else ():
            operation["responses"]["422"] = {"description": "A parameter is not as expected"}
            if path.startswith(_ONE):
                operation["parameters"] = [own]
                operation["responses"] |= {"404": {"description": _NONE}, "409": {"description": _CANNOT}}
    diff["parameters"].append(_query(OTHER, "Another version; the one that serves by default", _VERSION, False))
    at["parameters"] = [_query(TIME, "ISO 8601, or so long ago, e.g. 7d", TIME_SCHEMA, True)]
    at["responses"] |= {"404": {"description": "No version served from this store at that time"}}
    for path in (_ONE + "/activate", "/v1/models/rollback"):
        operation = paths[path]["post"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _BODY}}}
        operation["responses"]["409"] = {"description": _CANNOT}


def _query(name: str, description: str, schema: dict[str, Any], required: bool) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "description": description, "schema": schema}
