"""The gate's evidence: equal pairs are hardly ever promoted, though looked at daily; better ones are."""

from __future__ import annotations

import numpy as np
import pytest

from models.challenge import ENOUGH, evidence, votes

PAIRS, DAYS = 1_000, 365


def looked_at_daily(won: float, lost: float, seed: int) -> float:
    """Share of pairs ever promoted, with so many votes a day for the challenger and for the active version."""
    random = np.random.default_rng(seed)
    counts = [random.poisson(rate, (PAIRS, DAYS)).cumsum(axis=1) for rate in (won, lost)]
    return float((evidence(*counts) >= ENOUGH).any(axis=1).mean())


@pytest.mark.parametrize("rate", [0.05, 0.4, 3.0])
def test_at_most_one_in_twenty_equal_pairs_is_ever_promoted(rate: float) -> None:
    assert looked_at_daily(rate, rate, seed=1) <= 0.05


def test_a_worse_challenger_is_hardly_ever_promoted_and_a_better_one_is() -> None:
    assert looked_at_daily(0.2, 0.4, seed=2) <= 0.005
    assert looked_at_daily(0.4, 0.2, seed=3) >= 0.95


def test_it_is_the_mean_of_the_products_and_begins_at_one() -> None:
    assert evidence(0, 0) == pytest.approx(1)
    stakes = np.arange(1, 10) / 10
    assert evidence(3, 2) == pytest.approx(np.mean((1 + stakes) ** 3 * (1 - stakes) ** 2))
    assert evidence(7, 0) >= ENOUGH > evidence(6, 0)
    assert np.isfinite(evidence(100_000, 3))


def test_a_card_has_one_vote_its_first_disagreement() -> None:
    old = np.array([1, 0, 0, 1, 0, 1], dtype=bool)
    new = np.array([0, 1, 1, 1, 1, 0], dtype=bool)
    fraud = np.array([1, 1, 1, 1, 0, 1], dtype=bool)
    assert votes(old, new, fraud, np.array([0, 0, 1, 2, 3, 1])) == (1, 1)
    assert votes(old, new, fraud, np.arange(6)) == (2, 2)
    assert votes(old, old, fraud, np.arange(6)) == (0, 0)
