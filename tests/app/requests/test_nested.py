"""Nested objects in JSON are the fields that a file of the same objects has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.problems import Refused
from app.requests.model import RequestModel
from models.schema import parse_schema

SCHEMA = parse_schema(
    {
        "name": "events",
        "columns": {
            "id": {"kind": "id"},
            "data.object.amount": {"kind": "amount"},
            "data.object.card.country": {"kind": "categorical", "nullable": True},
            "data.object.checks": {"kind": "ignore"},
        },
    },
    source="t",
)
MODEL = RequestModel(SCHEMA, 50)
EVENT = {"id": "e1", "data": {"object": {"amount": 12.5, "card": {"country": "DE"}, "checks": ["a", 1]}}}
FLAT = {"id": "e1", "data.object.amount": 12.5, "data.object.card.country": "DE"}


def test_nested_is_flat() -> None:
    expected = MODEL.one(json.dumps(FLAT).encode())
    assert MODEL.one(json.dumps(EVENT).encode()) == expected
    assert MODEL.many(json.dumps({"transactions": [EVENT] * 50}).encode()) == [expected] * 50


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ('{"id": "e", "data": {"object": {"card": {"country": "DE"}}}}', "data.object.amount", "missing field"),
        ('{"id": "e", "data": {"object": {"amount": 1, "amount": 2, "card": {"country": "DE"}}}}',
         "data.object.amount", "appears twice"),
        ('{"id": "e", "data": {"object": {"amount": 1, "card": {"country": "DE"}, "of": {"x": 1}}}}',
         "data.object.of.x", "unknown field"),
        ('{"id": "e", "data": {"object": {"amount": 1, "card": {"country": ["DE"]}}}}', "data.object.card.country",
         "not a string"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_its_field(body: str, field: str, message: str) -> None:
    with pytest.raises(Refused) as refused:
        MODEL.one(body.encode())
    found = {problem.field: problem.message for problem in refused.value.errors}
    assert message in found[field]


@pytest.mark.parametrize("body", [b"", b"[1", b"3", b'{"id": NaN}', b'{"transactions": 3}', b'{"transactions": [3]}'])
def test_what_is_no_transaction_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        MODEL.one(body)
    try:
        rows: list[Any] = MODEL.many(body)
    except Refused:
        return
    assert all(isinstance(row, Refused) for row in rows)


def test_a_heap_of_objects_is_refused() -> None:
    with pytest.raises(Refused, match="objects and arrays"):
        MODEL.one(b'{"id": ' + b"[" * 200 + b"]" * 200 + b"}")
