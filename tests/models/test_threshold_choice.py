"""Each policy gives what it promises: checked against brute force, and the interval in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.calibration import calibrate
from models.errors import InvalidInput
from models.threshold_choice import MIN_FRAUD, alert_rate_interval, choose_threshold
from models.thresholds import Policy, PolicyName, Threshold

_Array = NDArray[np.float64]


def choose(
    name: PolicyName,
    value: float,
    legitimate: _Array,
    fraud: _Array | None = None,
    *,
    amounts: _Array | None = None,
    per_day: float | None = 1_000.0,
    missed_fraud: float | None = None,
    decline: Policy | None = None,
) -> Threshold:
    """A policy on errors."""
    return choose_threshold(
        Policy(name=name, value=value, missed_fraud=missed_fraud),
        calibrate(legitimate),
        legitimate=legitimate,
        fraud=np.empty(0) if fraud is None else fraud,
        fraud_amounts=amounts,
        per_day=per_day,
        decline=decline,
    )


@pytest.fixture
def legitimate() -> _Array:
    return np.random.default_rng(0).exponential(size=500)


@pytest.mark.parametrize("rate", [1e-20, 1e-9, 1e-4, 0.005, 0.3, 0.99])
def test_the_alert_rate_is_the_share_of_legitimate_rows(legitimate: _Array, rate: float) -> None:
    chosen = choose("alert-rate", rate, legitimate)
    assert chosen.score == pytest.approx(1 - rate)
    alerts = (calibrate(legitimate).to_score(legitimate) >= chosen.score).mean()
    assert alerts == pytest.approx(rate, abs=2 / 500)
    assert 0 <= chosen.alert_rate_low <= rate <= chosen.alert_rate_high <= 1


def test_alerts_per_day(legitimate: _Array) -> None:
    assert choose("alerts-per-day", 20, legitimate, per_day=1_000).score == pytest.approx(0.98)
    with pytest.raises(InvalidInput, match="needs a timestamp column"):
        choose("alerts-per-day", 20, legitimate, per_day=None)
    with pytest.raises(InvalidInput, match="1000 alerts a day are not fewer than the 1,000 transactions a day"):
        choose("alerts-per-day", 1_000, legitimate, per_day=1_000)


_CASES = st.tuples(st.integers(0, 10**6), st.floats(0.02, 0.98))


def _cases(seed: int) -> tuple[_Array, _Array, _Array]:
    random = np.random.default_rng(seed)
    return (
        random.exponential(size=120).round(2),  # with ties
        (random.exponential(3, size=40) + random.choice([0.0, 2.0])).round(2),
        random.integers(1, 1_000, 40).astype(np.float64),
    )


def _outcomes(legitimate: _Array, fraud: _Array, score: float) -> tuple[NDArray[np.bool_], int]:
    """Which fraud rows alert, and how many legitimate ones."""
    calibration = calibrate(legitimate)
    return calibration.to_score(fraud) >= score, int((calibration.to_score(legitimate) >= score).sum())


@given(_CASES)
def test_min_recall_is_the_strictest_that_catches_enough(case: tuple[int, float]) -> None:
    legitimate, fraud, _ = _cases(case[0])
    chosen = choose("min-recall", case[1], legitimate, fraud)
    caught, _ = _outcomes(legitimate, fraud, chosen.score)
    assert caught.mean() >= case[1]
    stricter, _ = _outcomes(legitimate, fraud, np.nextafter(chosen.score, 1))
    assert stricter.mean() < case[1] or stricter.mean() == caught.mean()


@given(_CASES)
def test_min_precision_is_the_widest_that_is_precise_enough(case: tuple[int, float]) -> None:
    legitimate, fraud, _ = _cases(case[0])
    precision = {}
    for score in np.unique(calibrate(legitimate).to_score(fraud)):
        caught, alarms = _outcomes(legitimate, fraud, score)
        precision[float(score)] = caught.sum() / (caught.sum() + alarms)
    enough = [score for score, share in precision.items() if share >= case[1]]
    if not enough:
        with pytest.raises(
            InvalidInput, match=f"no threshold reaches a precision of .*best is {max(precision.values()):.3f}"
        ):
            choose("min-precision", case[1], legitimate, fraud)
        return
    chosen = choose("min-precision", case[1], legitimate, fraud)
    assert chosen.score == min(enough)


@given(_CASES, st.booleans())
def test_max_cost_is_the_cheapest(case: tuple[int, float], fixed: bool) -> None:
    legitimate, fraud, amounts = _cases(case[0])
    review = case[1] * 400
    losses = np.full(len(fraud), 300.0) if fixed else amounts

    def cost(score: float) -> float:
        caught, alarms = _outcomes(legitimate, fraud, score)
        return review * (int(caught.sum()) + alarms) + float(losses[~caught].sum())

    chosen = choose("max-cost", review, legitimate, fraud, amounts=amounts, missed_fraud=300.0 if fixed else None)
    candidates = [*calibrate(legitimate).to_score(fraud), np.nextafter(1, 0)]
    assert cost(chosen.score) == pytest.approx(min(map(cost, candidates)))


def test_labels_are_needed_and_counted(legitimate: _Array) -> None:
    few = np.ones(MIN_FRAUD - 1)
    names: tuple[PolicyName, ...] = ("min-precision", "min-recall", "max-cost")
    for name in names:
        with pytest.raises(InvalidInput, match=f"{name} needs at least 25 labelled fraud rows .*found 24"):
            choose(name, 0.5, legitimate, few)
    with pytest.raises(InvalidInput, match="needs an amount column"):
        choose("max-cost", 1.0, legitimate, np.ones(MIN_FRAUD))


def test_fraud_below_every_legitimate_row_is_no_crash(legitimate: _Array) -> None:
    chosen = choose("min-recall", 0.99, legitimate, np.full(40, legitimate.min() / 2))
    assert (chosen.score, chosen.alert_rate_high) == (0.0, 1.0)


def test_the_decline_threshold_lies_above(legitimate: _Array) -> None:
    chosen = choose("alert-rate", 0.05, legitimate, decline=Policy(name="alert-rate", value=0.01))
    assert (chosen.score, chosen.decline) == (0.95, 0.99)
    with pytest.raises(InvalidInput, match="below the review threshold"):
        choose("alert-rate", 0.01, legitimate, decline=Policy(name="alert-rate", value=0.05))


@pytest.mark.parametrize(("rows", "rate"), [(100, 0.05), (400, 0.005), (599, 0.005), (400, 0.2), (50, 0.001)])
def test_the_interval_holds_at_its_rate(rows: int, rate: float) -> None:
    random = np.random.default_rng(3)
    held = 0
    for _ in range(500):
        chosen = choose("alert-rate", rate, random.exponential(size=rows))
        future = np.exp(-chosen.error)  # the share of all exponential errors at or above the threshold
        held += chosen.alert_rate_low <= future <= chosen.alert_rate_high
    beyond_the_largest = rate * (rows + 1) < 2  # there the lower end is 0
    assert 0.92 <= held / 500 <= (1.0 if beyond_the_largest else 0.975)


def test_the_interval_narrows_with_rows() -> None:
    widths = [high - low for low, high in (alert_rate_interval(0.99, rows) for rows in (100, 1_000, 10_000))]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]
    assert alert_rate_interval(0.0, 100) == pytest.approx((0.9637, 1.0), abs=1e-3)
    assert alert_rate_interval(1 - 1e-9, 100) == pytest.approx((0.0, 0.0362), abs=1e-3)
