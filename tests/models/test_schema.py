"""Profiles: TOML there and back, wrong declarations named by key, the shipped ones usable."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.durations import duration_seconds
from models.errors import InvalidProfile
from models.schema import (
    LabelColumn,
    TransactionSchema,
    load_schema,
    names_verification_value,
    parse_schema,
    shipped_profiles,
)

_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20).filter(
    lambda name: not names_verification_value(name)
)
_NUMBERS = st.floats(-1e30, 1e30)
_LENGTHS = st.integers(1, 1_000)


def _kind(name: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"kind": st.just(name)}, optional={"description": _TEXT, **fields})


def _words(first: str) -> st.SearchStrategy[list[str]]:
    return st.lists(_TEXT.map(lambda text: f"{first}{text}".strip()), max_size=3)


_FIELDS = st.lists(_NAMES, min_size=1, max_size=3, unique=True)
_MANY = st.one_of(
    _kind("numeric", nullable=st.booleans(), transform=st.sampled_from(["none", "signed-log"]), minimum=_NUMBERS,
          decimal=st.just(","), thousands=st.sampled_from(["", "'", " "]), marks=st.just(["EUR"]),
          negative=st.just(["()", "-"]), **{"from": _NAMES}),
    _kind("categorical", nullable=st.booleans(), max_length=_LENGTHS, any_type=st.booleans(), **{"from": _FIELDS}),
    _kind("entity", max_length=_LENGTHS, no_card_numbers=st.booleans(), **{"from": _FIELDS}),
    st.just({"kind": "numeric", "derive": "distance", "from": ["a", "b", "c", "d"]}),
    st.just({"kind": "numeric", "derive": "age", "from": "born", "format": "%d.%m.%Y", "zone": "Europe/Berlin"}),
    st.just({"kind": "categorical", "derive": "prefix", "length": 2, "from": "mcc"}),
    st.just({"kind": "categorical", "derive": "direction"}),
    st.just({"kind": "ignore"}),
)  # fmt: skip
_ONCE = (
    _kind("id", max_length=_LENGTHS),
    _kind("timestamp", format=st.sampled_from(["iso8601", "epoch-us", "%d.%m.%Y %H:%M", "%Y-%m-%dT%H:%M:%S%z"]),
          cycles=st.lists(st.sampled_from(["hour", "weekday"]), unique=True)),
    _kind("amount", unit=st.text(max_size=32), maximum=_NUMBERS, absolute=st.booleans()),
    _kind("currency", code=st.from_regex(r"[A-Z]{3}", fullmatch=True),
          rates=st.just({"usd": 0.9, "jpy": 0.006})).filter(lambda c: "code" in c),
    _kind("label", fraud=_words("f"), legitimate=_words("l"), unknown=_words("u"), **{"from": _FIELDS},
          otherwise=st.sampled_from(["refuse", "fraud", "legitimate", "unknown"])),
    _kind("label_timestamp", format=st.sampled_from(["iso8601", "%Y-%m-%d"]), **{"from": _FIELDS}).filter(
        lambda c: "%" in c.get("format", "") or len(c.get("from", [])) < 2),
    _kind("scenario"),
)  # fmt: skip


@st.composite
def schemas(draw: st.DrawFn) -> TransactionSchema:
    """Any valid schema."""
    columns = [{"kind": "numeric"}, *draw(st.lists(_MANY, max_size=4)), *(draw(kind) for kind in _ONCE)]
    names = draw(st.lists(_NAMES, min_size=len(columns), max_size=len(columns), unique=True))
    order = draw(st.permutations(range(len(columns))))
    body = {
        "name": draw(st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True)),
        "description": draw(_TEXT),
        "label_delay": f"{draw(st.integers(0, 999_999))}{draw(st.sampled_from('smhd'))}",
        "columns": {names[i]: columns[i] for i in order},
    }
    return parse_schema(body, source="test")


@given(schemas())
def test_a_profile_written_and_read_is_the_same(schema: TransactionSchema) -> None:
    again = parse_schema(tomllib.loads(schema.to_toml()), source="test")
    assert again == schema
    assert list(again.columns) == list(schema.columns)  # the order of the features


@given(schemas())
def test_a_schema_survives_the_manifest(schema: TransactionSchema) -> None:
    assert TransactionSchema.model_validate_json(schema.model_dump_json()) == schema
    assert schema.checked() == schema


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_are_whole(name: str, tmp_path: Path) -> None:
    schema = load_schema(name)
    assert schema.name == name
    assert schema.label and schema.timestamp and schema.amount
    copy = tmp_path / "copy.toml"
    copy.write_text(schema.to_toml(), encoding="utf-8")
    assert load_schema(str(copy)) == schema


def test_the_profiles_of_the_documentation_exist() -> None:
    assert shipped_profiles() == ["handbook", "handbook-raw", "payments", "ulb"]
    assert len(load_schema("ulb").features) == 29
    assert len(load_schema("handbook").features) == 15


def _body(**columns: dict[str, Any]) -> dict[str, Any]:
    return {"name": "t", "columns": {"n": {"kind": "numeric"}, **columns}}


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"columns": {"n": {"kind": "numeric"}}}, ["name", "required"]),
    ({**_body(), "name": "Not Allowed"}, ["name"]),
    ({**_body(), "label_delay": "soon"}, ["label_delay", "7d"]),
    ({**_body(), "label_delay": 7}, ["label_delay"]),
    ({**_body(), "colour": "red"}, ["colour"]),
    ({"name": "t"}, ["columns", "required"]),
    ({"name": "t", "columns": {}}, ["columns"]),
    ({"name": "t", "columns": {"x": {"kind": "id"}}}, ["no feature"]),
    (_body(x={"kind": "number"}), ["columns.x", "kind"]),
    (_body(x={}), ["columns.x", "kind"]),
    (_body(x={"kind": "numeric", "nulable": True}), ["columns.x", "nulable"]),
    (_body(x={"kind": "numeric", "nullable": "yes"}), ["columns.x", "nullable"]),
    (_body(x={"kind": "numeric", "minimum": "0"}), ["columns.x", "minimum"]),
    (_body(x={"kind": "numeric", "minimum": float("nan")}), ["columns.x", "minimum"]),
    (_body(x={"kind": "numeric", "minimum": 2.0, "maximum": 1.0}), ["columns.x", "minimum is larger"]),
    (_body(x={"kind": "numeric", "transform": "log"}), ["columns.x", "transform"]),
    (_body(x={"kind": "categorical", "max_length": 0}), ["columns.x", "max_length"]),
    (_body(x={"kind": "categorical", "max_length": 1_001}), ["columns.x", "max_length"]),
    (_body(x={"kind": "currency"}), ["columns.x", "code"]),
    (_body(x={"kind": "currency", "code": "Eur"}), ["columns.x", "code"]),
    (_body(x={"kind": "timestamp", "format": "date"}), ["columns.x", "format"]),
    (_body(x={"kind": "timestamp", "cycles": ["year"]}), ["columns.x", "cycles"]),
    (_body(x={"kind": "timestamp", "format": "elapsed-s"}), ["columns.x", "cycles = []"]),
    (_body(x={"kind": "label", "fraud": "1"}), ["columns.x", "fraud"]),
    (_body(a={"kind": "id"}, b={"kind": "id"}), ["only one", "'id'", "a, b"]),
    (_body(a={"kind": "amount"}, b={"kind": "amount"}), ["only one", "'amount'", "a, b"]),
    (_body(a={"kind": "label"}, b={"kind": "label"}), ["only one", "'label'", "a, b"]),
    (_body(**{"": {"kind": "numeric"}}), ["column names"]),
    (_body(**{"a\nb": {"kind": "numeric"}}), ["column names"]),
    (_body(**{"a" * 129: {"kind": "numeric"}}), ["column names"]),
    ({"name": "t", "columns": {f"c{i}": {"kind": "numeric"} for i in range(2_001)}}, ["columns", "2000"]),
]


@pytest.mark.parametrize(("body", "named"), WRONG)
def test_a_wrong_declaration_is_named(body: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(InvalidProfile) as caught:
        parse_schema(body, source="bank.toml")
    message = str(caught.value)
    assert message.startswith("bank.toml: ")
    assert all(part in message for part in named), message
    assert len(message.splitlines()) == 1


def test_unreadable_profiles(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidProfile, match=r"no profile 'paymets': neither a file nor one of handbook, handbook-raw, payments, ulb"
    ):
        load_schema("paymets")
    broken = tmp_path / "broken.toml"
    broken.write_text("name = oops")
    with pytest.raises(InvalidProfile, match=r"broken\.toml: not valid TOML: .*line 1"):
        load_schema(str(broken))
    broken.write_bytes(b"name = '\xff'")
    with pytest.raises(InvalidProfile, match="UTF-8"):
        load_schema(str(broken))


def test_features_come_in_the_order_of_the_graph() -> None:
    schema = load_schema("payments")
    assert schema.features == (
        "amount", "latitude", "longitude", *(feature.name for feature in schema.behaviour),
        "category", "channel", "country", "timestamp.hour", "timestamp.weekday",
    )  # fmt: skip
    assert schema.inputs == tuple(n for n in schema.columns if n not in ("is_fraud", "fraud_scenario"))
    assert schema.currency == "EUR"


def test_with_label_swaps_the_label_column() -> None:
    schema = load_schema("payments").with_label("chargeback")
    assert schema.label == "chargeback"
    assert "is_fraud" not in schema.columns
    own = schema.columns["chargeback"]
    assert isinstance(own, LabelColumn) and schema.with_label("chargeback") == schema


@pytest.mark.parametrize(("text", "seconds"), [("0d", 0), ("30s", 30), ("15m", 900), ("12h", 43_200), ("7d", 604_800)])
def test_durations(text: str, seconds: int) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-1d", "1.5h", "7 d", "7w", "1234567d", "٧d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="7d"):
        duration_seconds(text)


def test_a_ratio_to_a_mean_of_signed_amounts_is_refused_in_profiles_alone(tmp_path: Path) -> None:
    body = """name = "refunds"
[entity.card]
key = "card"
windows = ["7d"]
features = ["ratio_to_mean"]
[columns]
time = { kind = "timestamp" }
card = { kind = "entity" }
amount = { kind = "amount", minimum = -1e6, maximum = 1e6 }
"""
    path = tmp_path / "refunds.toml"
    path.write_text(body)
    with pytest.raises(InvalidProfile, match=r'a ratio to a mean .* absolute = true .* derive = "direction"'):
        load_schema(str(path))
    assert parse_schema(tomllib.loads(body), source="an earlier bundle").behaviour
    path.write_text(body.replace("minimum = -1e6", "absolute = true, minimum = 0.0"))
    assert load_schema(str(path)).behaviour
