# ruff: noqa: E501 - a sentence of 110 characters stands in one line
"""Every word and window has a sentence; none has NaN, an id or a card number in it, or is long."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.behaviour.layout import UNKNOWN
from models.behaviour.plan import KINDS
from models.pan import contains_card_number
from models.reasons import MOST_CHARACTERS, UNSEEN, Sentences
from models.reasons.phrases import PHRASES
from models.reasons.sentences import Row, noun_of
from models.schema import TransactionSchema, load_schema, parse_schema
from tests.examples import examples

WINDOWS = ["10m", "1h", "1d", "7d", "400d"]
EVERY = [
    *("count", "sum", "mean", "std", "max", "distinct:merchant_id", "distinct:country", "ratio_to_mean", "zscore"),
    *("fraud_share", "fraud_count", "fraud_streak", "since_last", "km_from_last", "km_from_usual", "kmh"),
    *(
        "new:merchant_id",
        "new:country",
        "same:merchant_id",
        "since:merchant_id",
        "since_first:merchant_id",
        "ratio_to_same:merchant_id",
        "hour_rarity",
    ),
]


def schema_of(delay: str = "7d", **sections: str) -> TransactionSchema:
    """Payments with every word for each section, by its key."""
    body = load_schema("payments").model_dump(mode="json")
    body["columns"]["device_fingerprint_hash_of_the_browser"] = {"kind": "entity"}
    body["entity"] = {
        name: {
            "key": key,
            "windows": WINDOWS,
            "features": [feature for feature in EVERY if not feature.endswith(f":{key}")],
            "label_delay": delay,
        }
        for name, key in sections.items()
    }
    return parse_schema(body, source="test")


SCHEMA = schema_of(
    card="card_id", merchant="merchant_id", browser_fingerprint_of_a_device="device_fingerprint_hash_of_the_browser"
)
SAY = Sentences(SCHEMA)
NOON = 12 * 3_600_000_000


def row(**values: float) -> Row:
    """A row of ones, but for these features of the card."""
    numeric = np.ones(len(SCHEMA.numeric))
    for name in SCHEMA.numeric:
        if name.endswith("is_new"):
            numeric[SCHEMA.numeric.index(name)] = 0.0
    for name, value in values.items():
        numeric[SCHEMA.numeric.index(f"card.{name}")] = value
    return Row(numeric.tolist(), NOON)


def told(name: str, value: float, usual: float, **others: float) -> str:
    return SAY.number(name, value, usual, row(**others))


def test_every_word_has_a_phrase() -> None:
    assert set(PHRASES) == set(KINDS)
    named = {feature.word for feature in SCHEMA.behaviour}
    assert named == set(PHRASES)


values = st.floats(allow_nan=False, width=64) | st.sampled_from([0.0, 1.0, 0.5, 1e18, -1e18, 1 / (1 + UNKNOWN), 2**-60])
usuals = values | st.just(float("nan"))


@pytest.mark.parametrize("name", [feature.name for feature in SCHEMA.behaviour])
@settings(max_examples=examples(10))
@given(value=values, usual=usuals, since=st.floats(0, 4e7), km=st.floats(0, 20_100), new=st.booleans())
def test_every_word_and_window_has_a_sentence(
    name: str, value: float, usual: float, since: float, km: float, new: bool
) -> None:
    if not np.isfinite(value):
        value = 0.0
    said = told(name, value, usual, since_last=since, km_from_last=km, is_new=float(new))
    assert 5 < len(said) <= MOST_CHARACTERS, said
    assert not re.search(r"nan|inf\b|[{}_]|None|  ", said), said
    assert not contains_card_number(said), said
    assert said.strip() == said


@pytest.mark.parametrize("schema", ["payments", "ulb", "handbook", "handbook-raw"])
def test_every_number_of_a_profile_has_a_sentence(schema: str) -> None:
    declared = load_schema(schema)
    say = Sentences(declared)
    there = Row([1.0] * len(declared.numeric), NOON)
    for name in declared.numeric:
        for value in (0.0, 1.0, 912.4, -3.0):
            assert 5 < len(say.number(name, value, 35.0, there)) <= MOST_CHARACTERS


@given(st.text(max_size=200), st.text(max_size=200), st.sampled_from(["country", "x" * 128, "4111 1111 1111 1111"]))
def test_categories_are_fit_to_be_shown(value: str, usual: str, name: str) -> None:
    said = SAY.category(name, value, usual)
    assert len(said) <= MOST_CHARACTERS and said.isprintable() and not contains_card_number(said)


def test_a_card_number_is_withheld() -> None:
    assert SAY.category("reference", "4111111111111111", "A") == "reference (withheld), usually A"
    assert SAY.category("reference", UNSEEN, "A") == "reference not seen in training, usually A"


@pytest.mark.parametrize(
    ("name", "value", "usual", "said"),
    [
        ("card.count_1h", 14.0, 1.2, "14 payments with this card in the last hour, usually 1"),
        ("card.count_1h", 1.0, 0.2, "1 payment with this card in the last hour, usually none"),
        ("card.count_1h", 0.0, 35.4, "no payment with this card in the last hour, usually about 35"),
        ("card.sum_1d", 1_240.0, 38.0, "payments with this card in the last day come to 1,240.00 EUR, usually about 38"),
        ("merchant.mean_7d", 12.4, 40.0, "payments at this merchant in the last 7 days are 12.40 EUR on average, usually about 40"),
        ("card.std_1h", 249.93, 2.04, "payments with this card spread by 249.93 EUR within one hour, usually about 2"),
        ("card.max_1d", 900.0, 61.0, "largest payment with this card in the last day is 900.00 EUR, usually about 61"),
        ("card.distinct_country_1d", 3.0, 1.0, "3 different countries with this card in the last day, usually 1"),
        ("card.ratio_to_mean_7d", 26.3, 1.1, "amount is 26 times the mean of this card in the last 7 days, usually about 1.1"),
        ("card.zscore_7d", 8.13, 0.3, "amount is 8.1 deviations above the mean of this card in the last 7 days"),
        ("card.zscore_7d", -0.2, 2.6, "amount is 0.2 deviations below the mean of this card in the last 7 days, usually about 2.6 above"),
        ("merchant.fraud_share_1d", 1 / (1 + UNKNOWN), 0.001, "1 of 1 payments at this merchant 7 to 8 days ago (labels take 7 days) was fraud, usually none"),
        ("merchant.fraud_share_7d", 3 / (40 + UNKNOWN), 0.02, "3 of 40 payments at this merchant 7 to 14 days ago (labels take 7 days) were fraud, usually about 2 %"),
        ("merchant.fraud_share_7d", 0.0, 0.02, "no known fraud at this merchant 7 to 14 days ago (labels take 7 days), usually about 2 %"),
        ("card.zscore_7d", 0.0, 12.0, "too few payments with this card in the last 7 days to compare with"),
        ("card.is_new", 0.0, 0.6, "there were payments with this card before, though the rest looks like a first one"),
        ("card.new_merchant_id", 0.0, 0.6, "there were payments with this card at this merchant before, though the rest looks like a first one"),
        ("merchant.count_7d", 0.0, 0.2, "no payment at this merchant in the last 7 days"),
        ("card.count_7d", 7.0, 7.2, "7 payments with this card in the last 7 days"),
        ("merchant.fraud_count_1d", 1.0, 0.0, "1 known fraud at this merchant 7 to 8 days ago (labels take 7 days), usually none"),
        ("merchant.fraud_streak_7d", 3.0, 0.0, "last 3 payments at this merchant 7 to 14 days ago (labels take 7 days) were fraud, usually none"),
        ("merchant.fraud_streak_7d", 1.0, 0.0, "last payment at this merchant 7 to 14 days ago (labels take 7 days) was fraud, usually none"),
        ("card.since_last", 44.0, 72_000.0, "44 seconds since the last payment with this card, usually about 20 hours"),
        ("card.km_from_last", 6_312.0, 11.7, "6,300 km from the last payment with this card, 44 minutes ago, usually about 12"),
        ("card.km_from_last", 0.0, 91.0, "at the place of the last payment with this card, usually about 91 km away"),
        ("card.km_from_usual", 6_312.0, 0.2, "6,300 km from the usual places of this card, usually next to none"),
        ("card.kmh", 8_607.0, 3.1, "8,600 km/h since the last payment with this card (6,300 km, 44 minutes ago), usually about 3.1"),
        ("card.new_merchant_id", 1.0, 0.1, "first payment with this card at this merchant in 400 days"),
        ("card.new_country", 1.0, 0.1, "first payment with this card in this country in 400 days"),
        ("card.since_merchant_id", 172_800.0, 864_000.0, "2 days since the last payment with this card at this merchant, usually about 10 days"),
        ("card.since_merchant_id", 34_560_000.0, 864_000.0, "no payment with this card at this merchant in 400 days, usually about 10 days"),
        ("card.since_first_merchant_id", 345_600.0, 2_592_000.0, "4 days since the first payment with this card at this merchant, usually about 30 days"),
        ("card.since_first_merchant_id", 0.0, 864_000.0, "no payment with this card at this merchant in 400 days, usually about 10 days"),
        ("card.ratio_to_same_merchant_id", 6.2, 1.3, "amount is 6.2 times the mean of this card at this merchant in 400 days, usually about 1.3"),
        ("card.same_merchant_id_7d", 4.0, 0.6, "4 payments with this card at this merchant in the last 7 days, usually 1"),
        ("card.same_merchant_id_7d", 0.0, 2.0, "no payment with this card at this merchant in the last 7 days, usually 2"),
        ("merchant.is_new", 1.0, 0.1, "first payment at this merchant in 400 days"),
        ("card.hour_rarity", 2.0, 0.1, "payments with this card are rare around 12:00 UTC"),
        ("card.hour_rarity", -2.0, 0.1, "payments with this card are common around 12:00 UTC, which does not go with the rest"),
        ("amount", 912.4, 35.2, "amount 912.40 EUR, usually about 35"),
        ("amount", 743.14, 680.0, "amount 743.14 EUR does not go with the rest"),
    ],
)  # fmt: skip
def test_how_they_read(name: str, value: float, usual: float, said: str) -> None:
    assert told(name, value, usual, since_last=2_640.0, km_from_last=6_312.0) == said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("card.mean_1h", "no payment with this card in the last hour to compare with"),
        ("card.km_from_last", "no payment with this card in the last 400 days to compare with"),
        ("card.new_merchant_id", "no payment with this card in the last 400 days to compare with"),
        ("card.since_last", "no payment with this card in 400 days, usually about 20 hours"),
    ],
)
def test_a_card_without_payments_has_nothing_to_compare_with(name: str, said: str) -> None:
    assert told(name, 0.0, 72_000.0, is_new=1.0) == said


def test_an_empty_window_is_told_as_such() -> None:
    assert told("card.mean_1h", 0.0, 20.0, count_1h=0.0) == "no payment with this card in the last hour to compare with"
    assert told("card.mean_1d", 0.0, 20.0, count_1h=0.0).startswith(
        "payments with this card in the last day are 0.00 EUR"
    )


def test_a_delay_of_none_is_told_plainly() -> None:
    say = Sentences(schema_of("0d", merchant="merchant_id"))
    said = say.number("merchant.fraud_count_1d", 2.0, 0.0, Row([1.0] * 300, NOON))
    assert said == "2 known frauds at this merchant in the last day, usually none"


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("CUSTOMER_ID", "customer"),
        ("card_id", "card"),
        ("merchant", "merchant"),
        ("id", "id"),
        ("Device-Hash", "device"),
    ],
)
def test_nouns(name: str, noun: str) -> None:
    assert noun_of(name) == noun


def test_a_profile_without_neighbours_tells_the_distance_alone() -> None:
    body: dict[str, Any] = load_schema("payments").model_dump(mode="json")
    body["entity"] = {"card": {"key": "card_id", "windows": ["7d"], "features": ["km_from_last", "kmh"]}}
    say = Sentences(parse_schema(body, source="test"))
    there = Row([35.0, 48.0, 11.0, 6_300.0, 90.0, 0.0], NOON)
    assert (
        say.number("card.km_from_last", 6_300.0, 3.0, there)
        == "6,300 km from the last payment with this card, usually about 3"
    )
    assert (
        say.number("card.kmh", 90.0, 3.0, there)
        == "90 km/h since the last payment with this card (6,300 km), usually about 3"
    )
