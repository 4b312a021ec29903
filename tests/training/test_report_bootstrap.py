"""The report's intervals: exact sums and rankings under weights, coverage with dependent rows, a fixed seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from training.ranking import Ranking
from training.report.bootstrap import Bootstrap, Estimate, mean_of_days


@given(st.integers(2, 200), st.integers(1, 12), st.integers(0, 10_000))
def test_ranking_equals_scikit_learn_with_weights_and_ties(rows: int, units: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    score = random.integers(0, 20, rows) / 20
    fraud = random.random(rows) < 0.3
    fraud[:2] = True, False
    unit = random.integers(0, units, rows)
    weight = random.integers(1, 4, units).astype(float)
    area, precision = Ranking(score, fraud, unit).of(weight)
    assert area == pytest.approx(roc_auc_score(fraud, score, sample_weight=weight[unit]))
    assert precision == pytest.approx(average_precision_score(fraud, score, sample_weight=weight[unit]))


def simulated(
    random: np.random.Generator, cards: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Alerts and labels of rows whose card decides most of both."""
    unit = np.repeat(np.arange(cards), random.integers(1, 10, cards))
    bad = random.random(cards) < 0.3
    caught = bad & (random.random(cards) < 0.6)
    return np.where(caught[unit], 0.9, random.random(len(unit)) * 0.8), bad[unit], unit


def test_the_interval_by_card_covers_and_the_one_by_row_does_not() -> None:
    random = np.random.default_rng(3)
    covered = {"card": 0, "row": 0}
    trials = 80
    for _ in range(trials):
        score, fraud, unit = simulated(random, 150)
        columns: dict[str, NDArray[np.generic]] = {"fraud": fraud, "caught": fraud & (score >= 0.85)}
        for name, drawn in (("card", unit), ("row", np.arange(len(unit)))):
            share = Bootstrap(columns, drawn, None).share("caught", "fraud")
            assert share is not None and share.low is not None and share.high is not None
            covered[name] += share.low <= 0.6 <= share.high
    assert covered["card"] >= 0.87 * trials
    assert covered["row"] < 0.75 * trials


def test_shares_of_nothing_and_all_get_the_exact_interval() -> None:
    columns: dict[str, NDArray[np.generic]] = {"none": np.zeros(20), "all": np.ones(20), "empty": np.zeros(20)}
    sample = Bootstrap(columns, np.arange(20), None)
    reach = 1 - 0.025 ** (1 / 20)
    none, every = sample.share("none", "all"), sample.share("all", "all")
    assert none is not None and every is not None
    assert none.value == none.low == 0 and none.high == pytest.approx(reach)
    assert every.value == every.high == 1 and every.low == pytest.approx(1 - reach)
    assert sample.share("none", "empty") is None
    assert sample.ranking() is None


def test_bootstrap_has_a_fixed_seed_and_a_budget() -> None:
    columns: dict[str, NDArray[np.generic]] = {"x": np.arange(50.0)}
    first, second = (Bootstrap(columns, np.arange(50), None).total({"x": 1.0}) for _ in range(2))
    assert first == second
    assert Bootstrap(columns, np.arange(50), None).resamples == 1_000
    assert Bootstrap({"x": np.ones(600_000)}, np.zeros(600_000, np.int64), None).resamples == 200


def test_mean_of_days() -> None:
    assert mean_of_days((0.25, 0.75)) == Estimate(0.5)
    estimate = mean_of_days((0.1, 0.2, 0.3, 0.4))
    assert estimate.low is not None and estimate.high is not None
    assert 0.1 <= estimate.low < estimate.value < estimate.high <= 0.4
