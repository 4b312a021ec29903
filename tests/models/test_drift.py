"""Drift of the alert rate: an alarm is rare without drift, and comes in time with it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from models.drift import ALARM, Drift, Promise, watch
from models.manifest import Manifest
from models.scorer import Scorer

DAYS, YEARS, ROWS = 365, 1_000, 5_000
PROMISE = Promise(low=0.004, expected=0.005, high=0.0065)


def watched(counted: ArrayLike, rows: float = ROWS) -> Drift:
    """With the same promise of as many rows each day."""
    every = np.full(np.shape(counted), rows)
    return watch(counted, PROMISE.low * every, PROMISE.high * every)


def alerts(rate: NDArray[np.float64], seed: int, years: int = YEARS, rows: int = ROWS) -> NDArray[np.int64]:
    """[years, days]: the rate of each day varies by 30 % around its mean."""
    random = np.random.default_rng(seed)
    daily = rate * random.gamma(1 / 0.09, 0.09, (years, len(rate)))
    return random.poisson(rows * daily)


@pytest.mark.parametrize("rows", [500, 5_000, 50_000])
@pytest.mark.parametrize("bound", ["low", "high"])
def test_at_most_one_in_ten_years_without_drift_alarms(bound: str, rows: int) -> None:
    """At the very edge of what is promised."""
    counted = alerts(np.full(DAYS, getattr(PROMISE, bound)), seed=1, rows=rows)
    drift = watched(counted, rows)
    series = drift.above if bound == "high" else drift.below
    assert 0 < (series >= ALARM).any(axis=1).mean() <= 0.10


@pytest.mark.parametrize(("before", "most"), [(0, 16), (30, 12)])
def test_a_doubled_rate_is_noticed_in_about_twelve_days(before: int, most: int) -> None:
    days = np.arange(before + 60)
    counted = alerts(np.where(days < before, PROMISE.high, 2 * PROMISE.high), seed=2)
    alarm = watched(counted).above[:, before:] >= ALARM
    assert alarm.any(axis=1).all()
    assert 8 <= np.median(alarm.argmax(axis=1) + 1) <= most


def test_half_the_rate_is_noticed_in_a_month() -> None:
    counted = alerts(np.full(60, PROMISE.low / 2), seed=3)
    alarm = watched(counted).below >= ALARM
    assert np.median(alarm.argmax(axis=1) + 1) <= 30 and alarm.any(axis=1).all()


def test_one_day_of_attack_alone_is_no_drift() -> None:
    counted = np.full(60, round(PROMISE.expected * ROWS))
    counted[30] = ROWS
    assert watched(counted).above.max() < ALARM


def test_a_promise_may_change_from_day_to_day() -> None:
    """Twice as many alerts are no drift where twice as many were promised from then on."""
    promised = np.repeat([10.0, 20.0], 60)
    assert watch(promised, 0.9 * promised, promised).above.max() < ALARM < watch(promised, 5.0, 10.0).above[-1]


def test_days_without_rows_and_years_of_drift_are_borne() -> None:
    drift = watched(np.zeros(5), 0)
    np.testing.assert_allclose(drift.above, np.arange(1, 6))  # one more with each day, as for x = 1
    assert np.isfinite(watched(np.full(5_000, ROWS)).above).all()


def test_the_promise_counts_the_fraud_that_alerts(tiny_scorer: Scorer) -> None:
    manifest: Manifest = tiny_scorer.manifest
    promise, threshold = Promise.of(manifest), manifest.threshold
    errors = np.array(manifest.policy_inputs.fraud_error)
    assert len(errors) > 0
    part = manifest.training.calibration
    caught = (errors >= threshold.error).sum()
    assert promise.expected == pytest.approx((threshold.alert_rate * (part.rows - len(errors)) + caught) / part.rows)
    assert promise.low < promise.expected < promise.high
