"""The audit sample: a fixed random share of what was approved, and what it tells of the fraud that nobody saw."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

from app.decisions.audit_sample import AuditSample, Counts, recall, wilson
from app.store.contract import Store
from app.store.open import open_store
from app.store.query import Filter
from models.schema import load_schema
from tests.app.store.events import append, decision, label

SCHEMA = load_schema("payments")
REPLY = b'{"reasons": []}'


@pytest.fixture
def store(own_store: str) -> Iterator[Store]:
    found = open_store(own_store)
    for start in range(0, 2_000, 500):
        append(found, *(decision(f"a{i}", reply=REPLY) for i in range(start, start + 500)))
    append(found, *(decision(f"r{i}", reply=REPLY, decision="review", score=0.999) for i in range(10)))
    append(found, *(label(f"r{i}", "fraud" if i < 6 else "legitimate") for i in range(9)))
    yield found
    found.close()


def drawn(store: Store, share: float, key: bytes = b"key") -> tuple[list[str], Counts]:
    """Who of the sample is still to be looked at, and the counts."""
    sample = AuditSample(store, Filter(), SCHEMA, share, key)
    names = pl.concat(list(sample.open_frames()))["transaction_id"].to_list()
    return names, sample.counts


def test_the_sample_is_a_share_of_the_approved_and_always_the_same(store: Store) -> None:
    names, counts = drawn(store, 0.1)
    assert (counts.approved, counts.sample, counts.sample_open) == (2_000, len(names), len(names))
    assert abs(len(names) - 200) < 60 and all(name.startswith("a") for name in names)
    assert drawn(store, 0.1)[0] == names
    assert set(names) < set(drawn(store, 0.2)[0])  # a larger share contains the smaller one
    assert set(names) != set(drawn(store, 0.1, b"other")[0])
    assert len(drawn(store, 1.0)[0]) == 2_000
    assert (counts.alerts, counts.alerts_fraud, counts.alerts_open) == (10, 6, 1)


def test_who_has_a_label_is_counted_and_not_listed_again(store: Store) -> None:
    names, _ = drawn(store, 0.1)
    append(store, label(names[0], "fraud"), label(names[1], "legitimate"))
    left, counts = drawn(store, 0.1)
    assert left == names[2:]
    assert (counts.sample_fraud, counts.sample_open) == (1, len(names) - 2)


def test_recall_is_in_proportion_and_its_interval_holds_what_is_not_known() -> None:
    known = Counts(alerts=100, alerts_fraud=60, approved=10_000, sample=500, sample_fraud=2)
    found = recall(known)
    assert found.value == pytest.approx(60 / (60 + 40))
    low, high = wilson(2, 500)
    assert found.low == pytest.approx(60 / (60 + 10_000 * high))
    assert found.high == pytest.approx(60 / (60 + 10_000 * low))
    unsure = recall(Counts(100, 60, 5, 10_000, 500, 2, 50))
    assert unsure.low < found.low and unsure.high > found.high and unsure.value == found.value
    assert recall(Counts()) == type(found)(None, 0.0, 1.0)


@pytest.mark.parametrize(("hits", "trials"), [(0, 50), (3, 40), (40, 40), (500, 1_000)])
def test_wilsons_interval_is_that_of_scipy(hits: int, trials: int) -> None:
    theirs = binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_covers_the_true_recall() -> None:
    random = np.random.default_rng(4)
    approved, missed, caught = 20_000, 90, 60
    covered = 0
    for sample_fraud in random.hypergeometric(missed, approved - missed, 1_000, size=500):
        found = recall(Counts(300, caught, 0, approved, 1_000, int(sample_fraud)))
        covered += found.low <= caught / (caught + missed) <= found.high
    assert covered / 500 >= 0.94
