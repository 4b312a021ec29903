"""Declarations of behaviour: what is allowed, and errors that say so."""

from __future__ import annotations

from typing import Any

import pytest

from models.behaviour import plan as P
from models.behaviour.events import Behaviour
from models.behaviour.plan import plan_of
from models.behaviour.spec import SINGLE, WINDOWED
from models.errors import InvalidProfile
from models.schema import load_schema, parse_schema
from tests.models.behaviour.streams import CARD, MERCHANT, MIXED, schema_of

_BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"features": ["cuont"]}, "unknown feature 'cuont'; allowed are count, sum"),
    ({"features": ["distinct"]}, "distinct:COLUMN"),
    ({"features": ["count:country"]}, "unknown feature 'count:country'"),
    ({"features": ["new:"]}, "unknown feature 'new:'"),
    ({"features": ["count", "count"]}, "a feature is named twice"),
    ({"features": ["since_last@5m"]}, "unknown feature 'since_last@5m'"),
    ({"features": ["count@"]}, "unknown feature 'count@'"),
    ({"features": ["count@soon"]}, "one of s, m, h, d"),
    ({"features": ["count@1d"]}, "must differ from the section's windows"),
    ({"features": ["count@24h"]}, "must differ from the section's windows"),
    ({"features": ["count@5m", "sum@300s"]}, "must differ"),
    ({"features": ["count@401d"]}, "at most 400d"),
    ({"features": ["count@0s"]}, "longer than 0s"),
    ({"features": [f"count@{minutes}m" for minutes in range(1, 6)]}, "at most 8 different windows"),
    ({"features": []}, "features"),
    ({"windows": []}, "windows"),
    ({"windows": ["7d", "1d"]}, "ascending order"),
    ({"windows": ["1d", "24h"]}, "ascending order"),
    ({"windows": ["0s"]}, "ascending order"),
    ({"windows": ["1w"]}, "one of s, m, h, d"),
    ({"windows": ["401d"]}, "at most 400d"),
    ({"windows": [f"{n}d" for n in range(1, 10)]}, "windows"),
    ({"label_delay": "soon"}, "one of s, m, h, d"),
    ({"key": "amount"}, "key must name a column of kind 'entity'"),
    ({"key": "nobody"}, "key must name a column of kind 'entity'"),
    ({"features": ["distinct:amount"]}, "kind 'entity' or 'categorical'"),
    ({"features": ["new:card_id"]}, "not the key"),
    ({"features": [f"new:{name}" for name in ("merchant_id", "country", "category", "channel")]}, "at most 3 columns"),
    ({"features": ["kmh"], "place": ["latitude", "amount"]}, "longitude with minimum -180"),
    ({"feature": ["count"]}, "feature"),
]


@pytest.mark.parametrize(("change", "message"), _BROKEN)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidProfile) as error:
        schema_of(card=CARD | change)
    assert message in str(error.value)
    assert "card" in str(error.value)


def test_every_allowed_word_is_named() -> None:
    with pytest.raises(InvalidProfile) as error:
        schema_of(card=CARD | {"features": ["?"]})
    for word in (*WINDOWED, *SINGLE):
        assert word in str(error.value)
    assert {*WINDOWED, *SINGLE, "is_new"} == set(P.KINDS)


@pytest.mark.parametrize(("column", "bounds"), [("amount", {"maximum": None}), ("amount", {"maximum": 1.1e10})])
def test_amounts_must_have_bounds_that_sums_can_hold(column: str, bounds: dict[str, Any]) -> None:
    body = load_schema("payments").model_dump(mode="json")
    body["entity"] = {"card": CARD}
    body["columns"][column] |= bounds
    with pytest.raises(InvalidProfile, match="a maximum of at most 1e\\+10"):
        parse_schema(body, source="test")


def test_features_by_name() -> None:
    names = [feature.name for feature in schema_of(shop=MERCHANT).behaviour]
    assert names[:4] == ["shop.count_1d", "shop.count_7d", "shop.count_28d", "shop.mean_1d"]
    assert names[-1] == "shop.is_new"
    assert "card.distinct_country_7d" in [feature.name for feature in schema_of(card=CARD).behaviour]


def test_a_feature_may_have_a_window_of_its_own() -> None:
    schema = schema_of(card=CARD | {"features": ["count", "sum@5m", "distinct:country@60d", "since_last"]})
    assert [feature.name for feature in schema.behaviour] == [
        *(f"card.count_{window}" for window in CARD["windows"]),
        *("card.sum_5m", "card.distinct_country_60d", "card.since_last", "card.is_new"),
    ]
    assert schema.entity["card"].every_window == ("5m", *CARD["windows"], "60d")
    assert schema.entity["card"].uses_amount


def test_a_window_of_its_own_is_the_same_cause_but_counts_by_itself() -> None:
    schema = schema_of(card=CARD | {"features": ["count", "count@5m", "sum"]})
    first = schema.features.index("card.count_1h")
    assert schema.causes[first : first + 9] == (*[schema.causes[first]] * 5, *[schema.causes[first] + 1] * 4)
    assert schema.things[first : first + 5] == (*[schema.things[first]] * 4, schema.things[first] + 1)


def test_the_amount_and_what_compares_it_are_one_cause_and_count_by_themselves() -> None:
    schema = schema_of(card=CARD | {"features": ["count", "ratio_to_mean", "zscore", "sum"]})
    assert schema.amount is not None
    told = [name for name, cause in zip(schema.features, schema.causes, strict=True) if cause == schema.causes[0]]
    assert told == [
        schema.amount,
        *(f"card.{word}_{window}" for word in ("ratio_to_mean", "zscore") for window in CARD["windows"]),
    ]
    assert len({schema.things[schema.features.index(name)] for name in told}) == 3


def test_plans_write_every_feature_once() -> None:
    for declared in (CARD, MERCHANT, MIXED):
        schema = schema_of(card=declared)
        (entity,) = Behaviour(schema).entities
        plan = plan_of(schema.entity["card"], 2)
        assert plan.tolist() == entity.plan.tolist()
        assert (
            sorted(plan[-4 * len(schema.behaviour) :][3::4])
            == list(range(plan[P.OPS]))
            == list(range(len(schema.behaviour)))
        )


@pytest.mark.parametrize("name", ["amount", "timestamp"])
def test_the_digest_names_the_columns_of_amount_and_time(name: str) -> None:
    body = schema_of(card=CARD).model_dump(mode="json")
    renamed = {f"other_{name}" if column == name else column: told for column, told in body["columns"].items()}
    other = parse_schema({**body, "columns": renamed}, source="test")
    assert Behaviour(other).spec != Behaviour(schema_of(card=CARD)).spec
    assert Behaviour(parse_schema(body, source="test")).spec == Behaviour(schema_of(card=CARD)).spec


def test_without_sections_no_column_matters() -> None:
    body = schema_of().model_dump(mode="json")
    renamed = {f"other_{column}" if column == "amount" else column: told for column, told in body["columns"].items()}
    assert Behaviour(parse_schema({**body, "columns": renamed}, source="test")).spec == Behaviour(schema_of()).spec
