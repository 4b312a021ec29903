"""A JSON field and a CSV cell of the same column are accepted, refused and read alike."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.problems import Refused
from app.requests.arrival import ScoreOptions
from app.requests.encoder import Encoder
from app.requests.model import RequestModel
from models.parsing import parse_rows
from models.rows import Batch, Vocabulary
from models.schema import TransactionSchema, parse_schema
from tests.examples import examples

COLUMNS: dict[str, dict[str, Any]] = {
    "plain": {"kind": "numeric"},
    "bounded": {"kind": "numeric", "minimum": -2.5, "maximum": 1e13},
    "nullable": {"kind": "numeric", "nullable": True, "maximum": 1e6},
    "amount": {"kind": "amount", "minimum": 0.0},
    "kind of shop": {"kind": "categorical", "max_length": 12},
    "class": {"kind": "categorical", "nullable": True},
    "id-1": {"kind": "id"},
    "karte": {"kind": "entity", "max_length": 20},
    "currency": {"kind": "currency", "code": "EUR"},
}
VOCABULARY = Vocabulary((("food", "travel", "£"), ("a", "")))
GOOD = {
    "plain": 1.5,
    "bounded": 0,
    "nullable": None,
    "amount": 3.25,
    "kind of shop": "food",
    "class": None,
    "id-1": "t1",
    "karte": "k1",
    "currency": "EUR",
}
TIMES = {
    "iso8601": "2026-01-31T08:15:00Z",
    "iso8601-utc": "2026-01-31T08:15:00",
    "epoch-s": 1_769_847_300,
    "epoch-ms": 1_769_847_300_000,
    "elapsed-s": 12.5,
}


def schema_with(form: str) -> TransactionSchema:
    cycles = [] if form == "elapsed-s" else ["hour"]
    columns = {**COLUMNS, "when": {"kind": "timestamp", "format": form, "cycles": cycles}}
    return parse_schema({"name": "fields", "columns": columns}, source="test")


SCHEMAS = {form: schema_with(form) for form in TIMES}
MODELS = {form: RequestModel(schema, 10) for form, schema in SCHEMAS.items()}
ENCODERS = {form: Encoder(schema, VOCABULARY) for form, schema in SCHEMAS.items()}


def as_cell(value: Any) -> str | None:
    """A JSON value as the text a CSV would hold."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def by_json(form: str, row: dict[str, Any]) -> tuple[Batch | None, set[str]]:
    try:
        values = MODELS[form].one(json.dumps(row).encode())
    except Refused as error:
        return None, {problem.field for problem in error.errors}
    arrival = ENCODERS[form].row(values, ScoreOptions(0))
    batch = Batch(np.array([arrival.numeric]), np.array([arrival.categorical]), np.array([arrival.time]))
    return batch, set()


def by_csv(form: str, row: dict[str, Any]) -> tuple[Batch | None, set[str]]:
    frame = pl.DataFrame({name: pl.Series([as_cell(value)], dtype=pl.String) for name, value in row.items()})
    parsed = parse_rows(SCHEMAS[form], frame)
    return (None, {parsed.errors[0].column}) if parsed.errors else (parsed.batch(VOCABULARY), set())


def assert_alike(form: str, row: dict[str, Any]) -> None:
    from_json, wrong = by_json(form, row)
    from_csv, first_wrong = by_csv(form, row)
    assert (from_json is None) == (from_csv is None), (wrong, first_wrong)
    assert first_wrong <= wrong
    if from_json is not None and from_csv is not None:
        np.testing.assert_array_equal(from_json.numeric, from_csv.numeric)
        np.testing.assert_array_equal(from_json.categorical, from_csv.categorical)
        np.testing.assert_array_equal(from_json.time, from_csv.time)


numbers = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(10**15), 9 * 10**15)
    | st.floats(-1e4, 1e4)
    | st.sampled_from([0, -0.0, 2e12, 1999999999999, 4111111111111111, 4111111111111111.0, 3.4028235e38, -2.5, 1e6])
)
cards = st.sampled_from(["4111111111111111", "4111 1111 1111 1111", "5555-5555-5555-4444", "x378282246310005y"])
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=70) | st.sampled_from(
    ["food", "travel", "£", "a", "other", "1" * 13, "3f2504e0-4f89-11d3-9a0c-0305e82c3301"]
)
rows = st.fixed_dictionaries(
    {
        "plain": numbers,
        "bounded": numbers,
        "nullable": st.none() | numbers,
        "amount": numbers.map(abs),
        "kind of shop": texts | cards,
        "class": st.none() | texts.filter(bool),
        "id-1": texts | cards,
        "karte": texts,
        "currency": st.sampled_from(["EUR"] * 9 + ["USD", "eur", " EUR"]),
    }
)
moments = st.builds(
    "{:04d}-{:02d}-{:02d}{}{:02d}:{:02d}:{:02d}{}{}".format,
    st.integers(1960, 2300) | st.integers(0, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
    st.sampled_from(["T", " ", "t"]),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
    st.sampled_from(["", ".1", ".123456", ".123456789", ".", ".1234567890"]),
    st.sampled_from(["Z", "+02:00", "-11:30", "+14:59", "+15:00", "+00:60", "", "z", "+0200"]),
)


@settings(max_examples=examples(100))
@given(row=rows)
@example(row=GOOD)
def test_any_row_is_read_alike(row: dict[str, Any]) -> None:
    assert_alike("iso8601", {**row, "when": TIMES["iso8601"]})


@pytest.mark.parametrize("form", TIMES)
@settings(max_examples=examples(50))
@given(when=moments)
def test_any_written_time_is_read_alike(form: str, when: str) -> None:
    assert_alike(form, {**GOOD, "when": when})


@pytest.mark.parametrize("form", ["epoch-s", "epoch-ms", "elapsed-s"])
@settings(max_examples=examples(50))
@given(when=st.floats(-1e3, 3e14) | st.integers(-5, 300_000_000_000_000) | numbers)
@example(when=253_402_300_799)
@example(when=253_402_300_800)
def test_any_counted_time_is_read_alike(form: str, when: float) -> None:
    assert_alike(form, {**GOOD, "when": when})


@pytest.mark.parametrize("form", TIMES)
def test_the_plain_form_of_each_time_is_accepted(form: str) -> None:
    batch, wrong = by_json(form, {**GOOD, "when": TIMES[form]})
    assert not wrong
    assert batch is not None
    assert batch.time[0] == (12_500_000 if form == "elapsed-s" else 1_769_847_300_000_000)


@pytest.mark.parametrize("value", ["12.34", "0", "0.00000001", "123456789012345", "7.10"])
def test_an_amount_as_text_is_the_number_it_says(value: str) -> None:
    row = {**GOOD, "when": TIMES["iso8601"]}
    from_text, _ = by_json("iso8601", {**row, "amount": value})
    from_cell, _ = by_csv("iso8601", {**row, "amount": value})
    assert from_text is not None
    assert from_cell is not None
    assert from_text.numeric[0, 3] == from_cell.numeric[0, 3] == float(value)


def test_missing_values_are_nan_and_the_vocabularys_empty_word() -> None:
    batch, _ = by_json("iso8601", {**GOOD, "when": TIMES["iso8601"]})
    assert batch is not None
    assert math.isnan(batch.numeric[0, 2])
    assert batch.categorical.tolist() == [[1, 2]]


def test_columns_need_not_be_identifiers() -> None:
    assert list(MODELS["iso8601"].transaction["properties"]) == [*COLUMNS, "when"]
