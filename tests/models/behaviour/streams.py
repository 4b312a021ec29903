"""Random streams of transactions for the tests of behaviour features, and what runs them through the kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.kernel import relabel
from models.behaviour.replay import State, empty, step
from models.schema import TransactionSchema, load_schema, parse_schema
from tests.models.behaviour import oracle

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
START = 1_767_225_600_000_000  # 2026-01-01 UTC
CARD: dict[str, Any] = {
    "key": "card_id",
    "windows": ["1h", "1d", "7d", "30d"],
    "features": [
        *("count", "count@5m", "sum", "mean", "std", "max", "distinct:merchant_id", "distinct:country"),
        *(
            "same:merchant_id",
            "since:merchant_id",
            "since_first:merchant_id",
            "ratio_to_same:merchant_id",
            "ratio_to_mean",
            "zscore",
        ),
        *("since_last", "km_from_last", "km_from_usual", "kmh", "new:merchant_id", "hour_rarity"),
    ],
}
MERCHANT: dict[str, Any] = {
    "key": "merchant_id",
    "windows": ["1d", "7d", "28d"],
    "features": ["count", "mean", "fraud_share", "fraud_streak"],
    "label_delay": "7d",
}
#: Everything at once, with short windows and a delay that no window divides.
MIXED: dict[str, Any] = {
    "key": "card_id",
    "windows": ["10m", "2h", "2d"],
    "features": [
        *(*CARD["features"], "new:country", "fraud_share", "fraud_count", "fraud_streak", "distinct:category"),
        *("sum@90s", "distinct:country@5m", "fraud_count@1d"),
    ],
    "label_delay": "5h",
}
#: What is compared exactly; the other words to the tolerance.
EXACT_WORDS = ("count", "sum", "distinct", "same", "max", "new", "since", "fraud", "is_new")
TOLERANCE = 1e-12
#: Kilometres that the rounding of an angle, some 1e-15, is on the ground; a speed is taken over a minute at least.
ROUNDING = {"km_from_last": 1e-11, "km_from_usual": 1e-11, "kmh": 60e-11}


def assert_equal(expected: Mapping[str, float], found: Mapping[str, float]) -> None:
    """Compare the oracle's features of an event with the kernel's, by name."""
    for name, value in expected.items():
        if name.startswith(EXACT_WORDS):
            assert found[name] == value, name
        else:
            least = ROUNDING.get(name.rpartition(".")[2], TOLERANCE)
            assert found[name] == pytest.approx(value, rel=TOLERANCE, abs=least), name


def schema_of(**sections: dict[str, Any]) -> TransactionSchema:
    """The payments profile with these sections, amounts up to 10^12 minor units of either sign."""
    body = load_schema("payments").model_dump(mode="json")
    body["entity"] = sections
    body["columns"]["amount"] |= {"minimum": -1e10, "maximum": 1e10}
    for name in ("latitude", "longitude", "category", "country"):
        body["columns"][name]["nullable"] = True
    return parse_schema(body, source="test")


def section_of(declared: dict[str, Any]) -> oracle.Section:
    """A section as the oracle takes it."""
    delay = declared.get("label_delay", "7d")
    return oracle.Section(tuple(declared["windows"]), tuple(declared["features"]), delay)


@dataclass(frozen=True)
class Payment:
    """One transaction in order of arrival. ``known`` is when its label arrives, counted from its time."""

    card: str
    merchant: str
    country: str | None
    time: int
    amount: int
    place: tuple[int, int] | None
    fraud: bool = False
    known: int = 0

    def row(self) -> dict[str, Any]:
        """As the service's request model gives it."""
        place = (float("nan"), float("nan")) if self.place is None else self.place
        return {
            "card_id": self.card,
            "merchant_id": self.merchant,
            "country": self.country,
            "category": self.merchant[:1],
            "timestamp": self.time,
            "amount": self.amount / 100,
            "latitude": place[0] / 1e7,
            "longitude": place[1] / 1e7,
        }

    def event(self, *, fraud: bool = False) -> oracle.Event:
        """As the oracle takes it."""
        values = {"merchant_id": self.merchant, "country": self.country or "", "category": self.merchant[:1]}
        return oracle.Event(self.time, self.amount, self.place, values, fraud)


_GAPS = st.one_of(
    st.sampled_from([0, 0, 1, SECOND, HOUR // 6, HOUR, 5 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 45 * DAY]),
    st.integers(0, 3 * HOUR),
)
_LATE = st.one_of(
    st.just(0), st.just(0), st.just(0), st.sampled_from([1, SECOND, HOUR, DAY, 3 * DAY, 3 * DAY + 1, 5 * DAY])
)
_AMOUNTS = st.one_of(
    st.sampled_from([1_000, 1_000, 0, 1, -500, 10**12, -(10**12)]),
    st.integers(-(10**12), 10**12),
    st.integers(0, 9_999),
)
_PLACES = st.one_of(
    st.none(),
    st.sampled_from(
        [(0, 0), (0, 1_800_000_000), (900_000_000, 5), (481_372_154, 115_761_240), (481_372_155, 115_761_240)]
    ),
    st.tuples(st.integers(-900_000_000, 900_000_000), st.integers(-1_800_000_000, 1_800_000_000)),
)
_KNOWN = st.sampled_from([0, HOUR, 5 * HOUR, 7 * DAY, 9 * DAY])


@st.composite
def payments(draw: st.DrawFn, most: int = 40) -> list[Payment]:
    """Several cards and merchants, late events, ties, gaps longer than any window."""
    clock, found = START, []
    for _ in range(draw(st.integers(1, most))):
        clock += draw(_GAPS)
        found.append(
            Payment(
                card=draw(st.sampled_from(["a", "a", "a", "b"])),
                merchant=draw(st.sampled_from(["x", "x", "y", "é"])),
                country=draw(st.sampled_from(["DE", "FR", None])),
                time=clock - draw(_LATE),
                amount=draw(_AMOUNTS),
                place=draw(_PLACES),
                fraud=draw(st.booleans()),
                known=draw(_KNOWN),
            )
        )
    return found


def columns_of(
    behaviour: Behaviour, schema: TransactionSchema, rows: Sequence[Payment], known: Sequence[int] | None = None
) -> list[EntityEvents]:
    """The payments by columns, with their labels, and since when those were known where it is told."""
    frame = pl.DataFrame([payment.row() for payment in rows])
    text = [frame[name] if name in frame else pl.Series([""] * len(rows)) for name in schema.categorical]
    return behaviour.of_columns(
        frame["timestamp"].to_numpy(),
        frame.select(schema.sent_numeric).to_numpy().astype(float),
        text,
        {name: frame[name] for name in schema.entities},
        np.array([payment.fraud for payment in rows]),
        None if known is None else np.array(known, np.int64),
    )


Meddle = Callable[[int, State], State]


def run_live(
    behaviour: Behaviour,
    rows: Sequence[Payment],
    *,
    known_at: Callable[[Payment], int] | None = None,
    meddle: Meddle | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64], dict[bytes, State]]:
    """Features [n, f], status [n] and states of the only section, as the service gets them: row by row.

    Args:
        known_at: when, by the latest time that arrived, a fraud's label arrives, at the end at
            the latest; None: never.
        meddle: may put another array in a state's place before each event.
    """
    entity = behaviour.entities[0]
    out, status = np.full((len(rows), behaviour.width), np.nan), np.zeros(len(rows), np.int64)
    states: dict[bytes, State] = {}
    waiting: list[tuple[int, bytes, int]] = []
    clock = 0
    for i, payment in enumerate(rows):
        clock = max(clock, payment.time)
        for item in [item for item in waiting if item[0] <= clock]:
            waiting.remove(item)
            relabel(states[item[1]], entity.plan, item[2], 1)
        (((_, digest), event),) = behaviour.of_row(payment.row())
        state = states.get(digest, empty(entity))
        if meddle:
            state = meddle(i, state)
        states[digest], status[i] = step(entity, state, event, out[i])
        if known_at and payment.fraud and status[i] != L.TOO_LATE:
            waiting.append((known_at(payment), digest, payment.time))
    for _, digest, time in waiting:
        relabel(states[digest], entity.plan, time, 1)
    return out, status, states
