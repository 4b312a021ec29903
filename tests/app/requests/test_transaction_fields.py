"""A service whose profile declares forms takes JSON of the file's shape, and scores it as the file."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from app.problems import Refused
from app.requests.example_fields import example_fields
from app.requests.model import RequestModel
from models.parsing import parse_rows
from models.schema import parse_schema

SCHEMA = parse_schema(
    {
        "name": "bank",
        "columns": {
            "time": {"kind": "timestamp", "from": ["Date", "Time"], "format": "%m/%d/%Y %I:%M:%S %p",
                     "zone": "America/New_York"},
            "card": {"kind": "entity", "from": ["User", "Card"], "any_type": True},
            "amount": {"kind": "amount", "from": "Total", "marks": ["$"], "thousands": ",", "negative": ["()"],
                       "absolute": True},
            "direction": {"kind": "categorical", "derive": "direction"},
            "present": {"kind": "categorical", "any_type": True},
            "currency": {"kind": "currency", "code": "usd", "rates": {"eur": 1.25}},
            "balance": {"kind": "numeric", "nullable": True, "missing": ["n/a"]},
            "refunded": {"kind": "ignore"},
            "Fraud?": {"kind": "label", "fraud": ["yes"], "legitimate": ["no"]},
        },
    },
    source="test",
)  # fmt: skip
ROW = {
    "Date": "01/31/2024", "Time": "07:13:16 PM", "User": 15, "Card": "1", "Total": "($1,234.50)", "present": True,
    "currency": "eur", "balance": None,
}  # fmt: skip
MODEL = RequestModel(SCHEMA, 10)


def one(**changed: Any) -> Any:
    return MODEL.one(json.dumps({**ROW, **changed}).encode())


def test_json_of_the_files_shape_becomes_the_same_columns() -> None:
    row = one()
    cells = {name: [None if value is None else str(value)] for name, value in ROW.items()}
    parsed = parse_rows(SCHEMA, pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String)))
    assert not parsed.errors
    assert row["time"] == parsed.time[0] == 1_706_746_396_000_000
    assert row["card"] == parsed.entity["card"][0] == "15|1"
    assert row["amount"] == parsed.numeric[0, 0] == 1_543.125
    assert (row["direction"], row["present"]) == (parsed.text[0][0], parsed.text[1][0]) == ("refund", "true")
    assert row["currency"] == "usd"


def test_an_ignored_field_may_be_sent_and_is_dropped() -> None:
    assert one(refunded={"card": "4111111111111111"}) == one()


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"Time": "25:00:00 PM"}, "Date + Time", "expected a time as %m/%d/%Y %I:%M:%S %p in America/New_York"),
        ({"Total": "$1.234,50"}, "Total", "not a number"),
        ({"User": None}, "User + Card", "missing value"),
        ({"User": []}, "User", "expected a text, a number, true, false or null"),
        ({"currency": "gbp"}, "currency", "expected one of usd, eur: the profile has no other rate"),
        ({"card": "15|1"}, "card", "unknown field"),
        ({"User": "4111111111111111"}, "User + Card", "looks like a card number; send a pseudonymous id instead"),
    ],
)
def test_what_cannot_be_read_is_told_by_its_fields(changed: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(Refused) as caught:
        one(**changed)
    assert any(problem.field == field and message in problem.message for problem in caught.value.errors)
    batch = MODEL.many(json.dumps({"transactions": [ROW, {**ROW, **changed}]}).encode())
    assert not isinstance(batch[0], Refused) and isinstance(batch[1], Refused)


def test_the_example_is_read_as_it_is_meant() -> None:
    plain = {
        "time": "2024-07-01T12:00:00Z", "card": "a1", "amount": 12.5, "direction": "payment", "present": "true",
        "currency": "usd", "balance": 3.0,
    }  # fmt: skip
    fields = example_fields(SCHEMA, plain)
    row = MODEL.one(json.dumps(fields).encode())
    assert (row["time"], row["amount"], row["balance"]) == (1_719_835_200_000_000, 12.5, 3.0)
    assert set(MODEL.transaction["required"]) == set(fields)
