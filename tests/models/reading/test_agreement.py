"""A table's cell and a JSON value that say the same are read the same, in every form a profile can declare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.parsing import parse_rows
from models.reading.objects import ObjectReader
from models.schema import TransactionSchema, parse_schema

_JUNK = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_CHARACTERS = st.text("0123456789.,'-+() $€EURDR\u2212\u00a0e", max_size=14)
_DIGITS = st.integers(0, 9_999_999).map(str)


@st.composite
def written_numbers(draw: st.DrawFn) -> str:
    """Mostly numbers as people write them."""
    size = draw(
        st.one_of(_DIGITS, st.sampled_from(["1,234.50", "1.234,50", "1'000", "12 345,6", "0", "007", "1234567.891"]))
    )
    before = draw(st.sampled_from(["", "-", "$", "-$", "$-", "$ ", "(", "EUR ", "+", "\u2212"]))
    behind = draw(st.sampled_from(["", "-", ")", " EUR", "€", " DR", " "]))
    return before + size + behind


_YEARS = st.sampled_from(["2024", "2023", "1969", "0000", "99", "24"])
_TWO = st.integers(0, 61).map(lambda number: f"{number:02}" if number % 2 else str(number))


@st.composite
def written_times(draw: st.DrawFn) -> str:
    """Mostly times in the patterns below."""
    y, m, d, h, minute, s = draw(_YEARS), *(draw(_TWO) for _ in range(5))
    zone = draw(st.sampled_from(["", "Z", "+0200", " UTC", "-05:30", "+1500"]))
    return draw(
        st.sampled_from(
            [
                f"{d}.{m}.{y} {h}:{minute}",
                f"{m}/{d}/{y} {h}:{minute}:{s} {draw(st.sampled_from(['AM', 'pm', 'P.M.', 'x']))}",
                f"{y}-{m}-{d}T{h}:{minute}:{s}.{s}{zone}",
                f"{y}-{m}-{d}T{h}:{minute}:{s}{zone}",
                f"{y}{m:0>2}{d:0>2}{h:0>2}{minute:0>2}{s:0>2}",
                f"{d} {draw(st.sampled_from(['Jan', 'september', 'Foo', 'MAY']))} {y}",
                "2024-03-31 02:30:00",
                "2024-10-27 02:30:00",
                "2024-02-29 23:59:59",
            ]
        )
    )


_FORMS: dict[str, tuple[dict[str, Any], st.SearchStrategy[Any]]] = {
    "dollars": ({"kind": "numeric", "marks": ["$"], "thousands": ",", "negative": ["()"]}, written_numbers()),
    "euros": ({"kind": "amount", "decimal": ",", "thousands": ".", "marks": ["EUR", "€"]}, written_numbers()),
    "swiss": ({"kind": "numeric", "thousands": "'", "negative": ["-", "DR"], "nullable": True}, written_numbers()),
    "blanks": ({"kind": "numeric", "decimal": ",", "thousands": " ", "missing": ["0"], "nullable": True}, _CHARACTERS),
    "minor units": ({"kind": "amount", "scale": 2, "flip": True, "negative": ["-"]}, written_numbers()),
    "absolute": ({"kind": "amount", "absolute": True, "negative": ["()"], "maximum": 1e6}, written_numbers()),
    "age": ({"kind": "numeric", "derive": "age", "from": "x", "format": "%d.%m.%Y %H:%M"}, written_times()),
    "days": (
        {"kind": "numeric", "derive": "days", "from": "x", "format": "%Y-%m-%dT%H:%M:%S", "zone": "America/New_York"},
        written_times(),
    ),
    "codes": (
        {"kind": "categorical", "any_type": True, "nullable": True, "missing": ["-1"]},
        st.one_of(_JUNK, _DIGITS),
    ),
    "typed": ({"kind": "entity", "any_type": True}, st.sampled_from([" 5411.0", "True", "FALSE", "+5.00", "4.11E+15"])),
    "prefix": ({"kind": "categorical", "derive": "prefix", "length": 2, "from": "x"}, _JUNK),
    "no card": (
        {"kind": "entity", "no_card_numbers": True},
        st.sampled_from(["4111111111111111", "4383762154611234567"]),
    ),
}
_PATTERNS = [
    {"format": "%d.%m.%Y %H:%M", "zone": "Europe/Berlin"},
    {"format": "%m/%d/%Y %I:%M:%S %p", "zone": "America/New_York"},
    {"format": "%m/%d/%Y %H:%M:%S %p"},
    {"format": "%Y-%m-%dT%H:%M:%S.%f%z"},
    {"format": "%Y-%m-%dT%H:%M:%S%z"},
    {"format": "%Y%m%d%H%M%S"},
    {"format": "%d %b %Y", "zone": "Asia/Kathmandu"},
    {"format": "%Y-%m-%d %H:%M:%S", "zone": "Europe/Berlin"},
    {"format": "%y-%m-%d %H:%M"},
]


def _schema(**columns: dict[str, Any]) -> TransactionSchema:
    return parse_schema({"name": "forms", "columns": {"n": {"kind": "numeric"}, **columns}}, source="test")


def _both(schema: TransactionSchema, table: dict[str, list[Any]]) -> None:
    """Read the rows of a table one by one and at once."""
    rows = len(next(iter(table.values())))
    table = {"n": [1.0] * rows, **table}
    parsed = parse_rows(
        schema, pl.DataFrame(table, schema_overrides={k: pl.String for k, v in table.items() if k != "n"})
    )
    causes = {error.row: (error.column, error.cause) for error in parsed.errors}
    reader = ObjectReader(schema)
    good = iter(range(len(parsed.time)))
    for i in range(rows):
        row, problems = reader.read({name: cells[i] for name, cells in table.items()})
        if i in causes:
            assert problems and problems[0] == causes[i], (table, i)
            continue
        assert not problems, (table, i)
        at = next(good)
        numbers = [row[name] for name in schema.sent_numeric]
        np.testing.assert_array_equal(parsed.numeric[at], numbers)
        assert [cells[at] or "" for cells in parsed.text] == [row[name] or "" for name in schema.categorical]
        assert [parsed.entity[name][at] for name in schema.entities] == [row[name] for name in schema.entities]
        if schema.timestamp:
            assert parsed.time[at] == row[schema.timestamp]


@pytest.mark.parametrize("form", _FORMS)
@given(data=st.data())
def test_a_cell_and_a_value_are_read_alike(form: str, data: st.DataObject) -> None:
    declared, cells = _FORMS[form]
    texts = data.draw(st.lists(st.one_of(cells, cells, _JUNK), min_size=1, max_size=8))
    fields = {"x": texts}
    if "derive" in declared and declared["kind"] == "numeric":
        schema = _schema(time={"kind": "timestamp", "format": "%Y-%m-%d"}, y=declared)
        fields["time"] = ["2024-06-30"] * len(texts)
    else:
        schema = _schema(**{"y" if "from" in declared else "x": declared})
    _both(schema, fields)


@pytest.mark.parametrize("pattern", _PATTERNS, ids=lambda pattern: pattern["format"])
@given(st.lists(st.one_of(written_times(), written_times(), _JUNK), min_size=1, max_size=8))
def test_times_are_read_alike(pattern: dict[str, Any], texts: list[str]) -> None:
    _both(_schema(t={"kind": "timestamp", **pattern}), {"t": texts})


@given(st.lists(st.tuples(written_numbers(), st.sampled_from(["EUR", "JPY", "USD", "GBP"])), min_size=1, max_size=8))
def test_currencies_are_converted_alike(rows: list[tuple[str, str]]) -> None:
    schema = _schema(
        amount={"kind": "amount", "scale": 2, "marks": ["$"], "absolute": True},
        way={"kind": "categorical", "derive": "direction"},
        currency={"kind": "currency", "code": "EUR", "rates": {"JPY": 0.0061, "USD": 0.92}, "digits": {"JPY": 0}},
    )
    _both(schema, {"amount": [text for text, _ in rows], "currency": [code for _, code in rows]})


@given(st.lists(st.tuples(written_numbers(), st.one_of(st.none(), written_numbers())), min_size=1, max_size=8))
def test_debit_and_credit_are_read_alike(rows: list[tuple[str, str | None]]) -> None:
    schema = _schema(amount={"kind": "amount", "debit": "out", "credit": "in", "decimal": ",", "nullable": True})
    _both(schema, {"out": [out for out, _ in rows], "in": [into for _, into in rows]})


_DEGREES = st.sampled_from(["12.5", "-77.25", "0", "91", "181", "-180", "x"])


@given(st.lists(st.tuples(*[_DEGREES] * 4), min_size=1, max_size=8))
def test_distances_and_differences_are_computed_alike(rows: list[tuple[str, str, str, str]]) -> None:
    schema = _schema(
        km={"kind": "numeric", "derive": "distance", "from": ["a", "b", "c", "d"], "marks": ["km"]},
        less={"kind": "numeric", "derive": "difference", "from": ["a", "c"], "marks": ["km"]},
    )
    _both(schema, {name: [row[i] for row in rows] for i, name in enumerate("abcd")})


@given(st.lists(st.tuples(_JUNK, st.text("|\\a1", max_size=4)), min_size=1, max_size=8))
def test_keys_of_several_fields_are_joined_alike_and_never_confused(rows: list[tuple[str, str]]) -> None:
    schema = _schema(card={"kind": "entity", "from": ["user", "number"]})
    _both(schema, {"user": [user for user, _ in rows], "number": [number for _, number in rows]})
    keys = {row: ObjectReader(schema).read({"n": 1.0, "user": row[0], "number": row[1]})[0].get("card") for row in rows}
    known = [key for key in keys.values() if key is not None]
    assert len(set(known)) == len(known)


def test_what_is_computed_is_right() -> None:
    schema = _schema(
        time={"kind": "timestamp", "from": ["Date", "Time"], "format": "%m/%d/%Y %I:%M %p", "zone": "America/New_York"},
        age={"kind": "numeric", "derive": "age", "from": "dob"},
        km={"kind": "numeric", "derive": "distance", "from": ["lat", "lon", "merchant_lat", "merchant_lon"]},
        change={"kind": "numeric", "derive": "difference", "from": ["before", "after"]},
        group={"kind": "categorical", "derive": "prefix", "from": "mcc", "length": 2, "any_type": True},
    )
    row, problems = ObjectReader(schema).read(
        {"n": 0, "Date": "07/01/2024", "Time": "12:00 AM", "dob": "1984-07-01", "before": 100.5, "after": 40,
         "lat": 52.52, "lon": 13.405, "merchant_lat": 48.8566, "merchant_lon": 2.3522, "mcc": 5411}
    )  # fmt: skip
    assert not problems
    assert row["time"] == 1_719_806_400_000_000  # 2024-07-01T04:00Z
    assert math.isclose(row["age"], 40.0, abs_tol=0.01)
    assert math.isclose(row["km"], 877.5, abs_tol=1.0)  # Berlin to Paris
    assert (row["change"], row["group"]) == (60.5, "54")


@pytest.mark.parametrize(
    "cells",
    [
        pl.Series("x", [5411, 5812], dtype=pl.Int64), pl.Series("x", [5411.0, 5812.0], dtype=pl.Float64),
        pl.Series("x", [5411.0, 5812.0], dtype=pl.Float32), pl.Series("x", ["5411.00", "5812"]).cast(pl.Decimal(10, 2)),
        pl.Series("x", ["5411", "5812"]), pl.Series("x", ["5411", "5812"], dtype=pl.Categorical),
        pl.Series("x", ["5411.0", " 5812"]),
    ],
    ids=lambda cells: str(cells.dtype),
)  # fmt: skip
def test_a_value_has_one_text_whatever_the_type_of_the_file(cells: pl.Series) -> None:
    schema = _schema(x={"kind": "categorical", "any_type": True})
    parsed = parse_rows(schema, pl.DataFrame([pl.Series("n", [1.0, 1.0]), cells]))
    assert parsed.text[0].to_list() == ["5411", "5812"]
    assert ObjectReader(schema).read({"n": 1.0, "x": 5411})[0]["x"] == "5411"
    assert ObjectReader(schema).read({"n": 1.0, "x": 5411.0})[0]["x"] == "5411"


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=8))
def test_numbers_of_a_file_and_of_json_have_the_same_text(values: list[float | None]) -> None:
    schema = _schema(x={"kind": "categorical", "any_type": True, "nullable": True})
    frame = pl.DataFrame({"n": [1.0] * len(values), "x": pl.Series(values, dtype=pl.Float64)})
    parsed = parse_rows(schema, frame)
    reader = ObjectReader(schema)
    for good, value in zip(np.flatnonzero(parsed.good), parsed.text[0], strict=True):
        assert (reader.read({"n": 1.0, "x": values[good]})[0]["x"] or "") == (value or "")


@pytest.mark.parametrize(
    ("declared", "cells", "expected"),
    [
        ({"legitimate": [""], "fraud": ["chargeback"]}, ["", None, "Chargeback"], [0, 0, 1]),
        ({"fraud": ["4837", "10.4"], "otherwise": "legitimate"}, ["4837", "10.4", "x", None], [1, 1, 0, -1]),
        ({"unknown": ["pending"], "fraud": ["yes"], "legitimate": ["no"]}, ["pending", "YES", "no "], [-1, 1, 0]),
        ({}, ["1.0", "0.00", "True", "FALSE"], [1, 0, 1, 0]),
    ],
)
def test_labels_in_the_users_words(declared: dict[str, Any], cells: list[str | None], expected: list[int]) -> None:
    schema = _schema(y={"kind": "label", **declared})
    parsed = parse_rows(schema, pl.DataFrame({"n": [1.0] * len(cells), "y": cells}))
    assert not parsed.errors and parsed.label is not None
    assert parsed.label.tolist() == expected


def test_a_label_of_several_fields_is_fraud_where_one_says_so() -> None:
    schema = _schema(y={"kind": "label", "from": ["dispute", "review"], "fraud": ["f"], "legitimate": ["l"]})
    table = {"dispute": ["f", "l", None, None], "review": ["l", None, None, "f"]}
    parsed = parse_rows(schema, pl.DataFrame({"n": [1.0] * 4, **table}))
    assert parsed.label is not None and parsed.label.tolist() == [1, 0, -1, 1]


@pytest.mark.parametrize(
    "declared",
    [
        {"format": "epoch-us"},
        {"format": "excel"},
        {"format": "steps", "step_seconds": 3_600, "start": "2024-01-01T00:00:00Z"},
        {"format": "steps", "step_seconds": 86_400, "cycles": []},
    ],
    ids=lambda declared: declared["format"],
)
@given(st.lists(st.one_of(st.integers(-5, 2**53), st.floats(-1, 1e6), st.floats()), min_size=1, max_size=8))
def test_counts_and_steps_are_read_alike(declared: dict[str, Any], numbers: list[float]) -> None:
    schema = _schema(t={"kind": "timestamp", **declared})
    values = [float(number) for number in numbers]
    parsed = parse_rows(schema, pl.DataFrame({"n": [1.0] * len(values), "t": values}))
    reader = ObjectReader(schema)
    read = [reader.read({"n": 1.0, "t": value})[0].get("t") for value in values]
    assert [time for time in read if time is not None] == parsed.time.tolist()
    assert [time is not None for time in read] == parsed.good.tolist()


def test_a_step_counts_from_its_start() -> None:
    hourly = {"kind": "timestamp", "format": "steps", "step_seconds": 3_600, "start": "2024-01-01T00:00:00+01:00"}
    row, _ = ObjectReader(_schema(t=hourly)).read({"n": 1.0, "t": 24})
    assert row["t"] == 1_704_150_000_000_000  # 2024-01-01T23:00Z
