"""The routes of the Open Inference Protocol in the OpenAPI document: their parameters, their body, their errors."""

from __future__ import annotations

from typing import Any

from app.generation import Generation
from app.inference.routes import MODEL, datatype
from app.inference.tensors import InferRequest
from app.problems import Problem

#: Where the protocol's paths begin, and those that name the model.
PROTOCOL, _MODELS = "/v2", "/v2/models"
INFER = "/infer"
PROBLEM = "InferenceProblem"
_REFERENCE = "#/components/schemas/{model}"
_NAMES = {
    "model": (f"Always {MODEL}: the version that serves", {"type": "string", "enum": [MODEL]}),
    "version": ("The version that serves", {"type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z._-]{0,99}$"}),
}


def describe(paths: dict[str, Any], schemas: dict[str, Any], generation: Generation | None) -> None:
    """Say of the routes in a document what the routes themselves do not.

    Args:
        schemas: of the document; takes those of the request and of errors.
        generation: what serves, for an example.
    """
    request = InferRequest.model_json_schema(ref_template=_REFERENCE)
    schemas |= request.pop("$defs") | {InferRequest.__name__: request, PROBLEM: _problem()}
    body: dict[str, Any] = {"schema": {"$ref": _REFERENCE.format(model=InferRequest.__name__)}}
    if generation:
        body["example"] = _example(generation)
    for path, operations in paths.items():
        for operation in operations.values() if path.startswith(_MODELS) else ():
            operation["parameters"] = [
                {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
                for name, (description, schema) in _NAMES.items()
                if f"{{{name}}}" in path
            ]
            operation["responses"]["404"] = {"description": "The model or the version is not the one that serves"}
            if path.endswith(INFER):
                operation["requestBody"] = {"required": True, "content": {"application/json": body}}
                operation["responses"]["409"] = {"description": "Another transaction is recorded under an id"}


def _example(generation: Generation) -> dict[str, Any]:
    """The example of a transaction, as tensors."""
    fields = generation.requests.transaction["properties"]
    return {
        "inputs": [
            {
                "name": name,
                "shape": [1],
                "datatype": "BYTES" if isinstance(value, str) else datatype(fields[name]),  # 1.234,50 is text
                "data": [value],
            }
            for name, value in generation.example.items()
        ]
    }


def _problem() -> dict[str, Any]:
    detail = {"type": "string", "description": "The detail, where clients of the protocol look for it"}
    own = {"type": "object", "properties": {"error": detail}, "required": ["error"]}
    return {"allOf": [{"$ref": _REFERENCE.format(model=Problem.__name__)}, own]}
