"""Both oracles on a large simulated history; a small fault in its timestamps does not go unnoticed."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.behaviour.replay import replay
from models.rows import AT_ONCE
from models.schema import TransactionSchema
from tests.models.behaviour import oracle, sql
from tests.models.behaviour.streams import (
    CARD,
    EXACT_WORDS,
    HOUR,
    MERCHANT,
    MIXED,
    SECOND,
    TOLERANCE,
    schema_of,
    section_of,
)
from training.simulate import SimulationConfig, simulate

_SECTIONS: dict[str, dict[str, Any]] = {"card": CARD, "merchant": MERCHANT, "mixed": MIXED}


@cache
def _history() -> pl.DataFrame:
    """At least 20,000 payments: 3 % up to a day late, some at the same moment as another, some without a place."""
    frame = simulate(SimulationConfig(days=45, cards=700, merchants=300, fraud_rate=0.02, seed=11))
    random = np.random.default_rng(11)
    late = np.where(random.random(frame.height) < 0.03, random.integers(0, 24 * HOUR, frame.height), 0)
    placeless = pl.Series(random.random(frame.height) < 0.02)
    time = frame["timestamp"].cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
    time = np.where(random.random(frame.height) < 0.05, time // HOUR * HOUR, time)
    place = [pl.when(placeless).then(None).otherwise(pl.col(name)).alias(name) for name in ("latitude", "longitude")]
    frame = frame.with_columns(*place, pl.Series("t", time)).with_columns(pl.Series("arrived", time + late))
    assert frame.height >= 20_000
    return frame.sort("arrived", maintain_order=True)


def _kernel(
    schema: TransactionSchema, frame: pl.DataFrame, time: NDArray[np.int64], known: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    behaviour = Behaviour(schema)
    events = behaviour.of_columns(
        time,
        frame.select(schema.sent_numeric).to_numpy().astype(float),
        [frame[name] for name in schema.categorical],
        {name: frame[name] for name in schema.entities},
        frame["is_fraud"].to_numpy() == 1,
        known,
    )
    return replay(behaviour, events).features


def _integers(frame: pl.DataFrame, entity: str, known: NDArray[np.int64] | None = None) -> pl.DataFrame:
    return frame.select(
        pl.col(entity).alias("entity"),
        "t",
        (pl.col("amount") * 100).round().cast(pl.Int64).alias("x"),
        pl.col("is_fraud").alias("fraud"),
        pl.Series("known", np.full(frame.height, AT_ONCE) if known is None else known),
        (pl.col("latitude") * 1e7).round().cast(pl.Int64).alias("north"),
        (pl.col("longitude") * 1e7).round().cast(pl.Int64).alias("east"),
        "merchant_id",
        "country",
        "category",
    )


def _mismatches(name: str, expected: NDArray[np.float64], found: NDArray[np.float64]) -> int:
    if name.startswith(EXACT_WORDS):
        return int((expected != found).sum())
    return int((~np.isclose(expected, found, rtol=TOLERANCE, atol=1e-15)).sum())


def _compare(name: str, moved: int) -> dict[str, int]:
    """Mismatches by feature; the kernel gets 0.1 % of the rows ``moved`` microseconds later."""
    frame = _history()
    schema = schema_of(**{name: _SECTIONS[name]})
    rows = np.random.default_rng(3).random(frame.height) < 0.001
    found = _kernel(schema, frame, frame["t"].to_numpy() + np.where(rows, moved, 0))
    expected = sql.features(section_of(_SECTIONS[name]), _integers(frame, _SECTIONS[name]["key"]))
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    return {n: _mismatches(n, values, found[:, names.index(n)]) for n, values in expected.items()}


@pytest.mark.parametrize("name", _SECTIONS)
def test_sql_agrees(name: str) -> None:
    assert {feature: count for feature, count in _compare(name, 0).items() if count} == {}


def test_sql_agrees_on_labels_that_are_known_since_a_date() -> None:
    """Half of the labels within ten days, some before the payment, the others as the label delay alone says."""
    frame = _history()
    random = np.random.default_rng(5)
    told = frame["t"].to_numpy() + random.integers(-24 * HOUR, 240 * HOUR, frame.height)
    known = np.where(random.random(frame.height) < 0.5, told, AT_ONCE)
    section = MERCHANT | {"features": ["fraud_share", "fraud_count", "fraud_streak"], "label_delay": "1d"}
    schema = schema_of(merchant=section)
    found = _kernel(schema, frame, frame["t"].to_numpy(), known)
    expected = sql.features(section_of(section), _integers(frame, "merchant_id", known))
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    assert {n: _mismatches(n, values, found[:, names.index(n)]) for n, values in expected.items()} == dict.fromkeys(
        expected, 0
    )
    early = _kernel(schema, frame, frame["t"].to_numpy())
    assert (early != found).any(axis=0)[:-1].all()  # each word but is_new


def test_a_second_in_a_thousandth_of_the_rows_is_noticed() -> None:
    found = _compare("card", SECOND)
    assert found["since_last"] > 0
    assert found["kmh"] > 0


def test_brute_force_agrees_on_a_sample() -> None:
    frame = _history()
    schema = schema_of(card=CARD)
    found = _kernel(schema, frame, frame["t"].to_numpy())
    names = [feature.name.partition(".")[2] for feature in schema.behaviour]
    table = _integers(frame, "card_id").with_row_index("seq")
    for card in table["entity"].unique().sort().sample(12, seed=1):
        before: list[oracle.Event] = []
        for row in table.filter(entity=card).iter_rows(named=True):
            place = None if row["north"] is None else (row["north"], row["east"])
            values = {name: row[name] for name in ("merchant_id", "country")}
            event = oracle.Event(row["t"], row["x"], place, values, bool(row["fraud"]))
            expected = oracle.features(section_of(CARD), before, event)
            for name, value in expected.items():
                mine = float(found[row["seq"], names.index(name)])
                if name.startswith(EXACT_WORDS):
                    assert mine == value, name
                else:
                    assert mine == pytest.approx(value, rel=TOLERANCE, abs=0), name
            before.append(event)
