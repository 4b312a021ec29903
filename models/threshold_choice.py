"""Choose a threshold by a policy in the user's terms, on the calibration part only: in training, and again later."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from models.beta import quantile
from models.calibration import Calibration
from models.errors import InvalidInput
from models.manifest import PolicyInputs
from models.thresholds import Policy, Threshold

INTERVAL_LEVEL = 0.95
_LARGEST_SCORE = float(np.nextafter(1, 0))
#: Labelled fraud rows that a policy with labels needs in the calibration part: with fewer, the estimate of a recall
#: has a standard error above 0.1.
MIN_FRAUD = 25


def choose_threshold(
    policy: Policy,
    calibration: Calibration,
    *,
    legitimate: NDArray[np.float64],
    fraud: NDArray[np.float64],
    fraud_amounts: NDArray[np.float64] | None,
    per_day: float | None,
    decline: Policy | None = None,
) -> Threshold:
    """The threshold a policy asks for.

    Args:
        policy: the review threshold's.
        calibration: error -> score.
        legitimate, fraud: reconstruction errors of the calibration part's rows.
        fraud_amounts: amounts of the fraud rows, or None without an amount column.
        per_day: legitimate transactions a day in the training period, or None without timestamps.
        decline: the policy of the second threshold, if any.

    Raises:
        InvalidInput: the policy needs labels, timestamps or amounts that are not there; says how many.
    """
    arguments = (calibration, legitimate, fraud, fraud_amounts, per_day)
    score = min(_score(policy, *arguments), _LARGEST_SCORE)
    low, high = alert_rate_interval(score, calibration.rows)
    upper = None if decline is None else min(_score(decline, *arguments), _LARGEST_SCORE)
    if upper is not None and upper < score:
        raise InvalidInput(
            f"the decline policy ({decline.name if decline else ''}) gives score {upper:.6f}, below the review "
            f"threshold {score:.6f}: ask for a stricter decline policy"
        )
    return Threshold(
        policy=policy,
        score=score,
        error=calibration.to_error(score),
        decline_policy=decline,
        decline=upper,
        alert_rate=1 - score,
        alert_rate_low=low,
        alert_rate_high=high,
        interval_level=INTERVAL_LEVEL,
    )


def require_cases(policy: Policy, fraud: int) -> None:
    """Check that a policy that needs labels has enough fraud rows in the calibration part.

    Raises:
        InvalidInput: too few; says how many are needed and found.
    """
    if policy.name in ("min-precision", "min-recall", "max-cost") and fraud < MIN_FRAUD:
        raise InvalidInput(
            f"{policy.name} needs at least {MIN_FRAUD} labelled fraud rows in the calibration part, "
            f"found {fraud}: add data with labels, or use alert-rate"
        )


class KnownCases(TypedDict):
    """The arguments of :func:`choose_threshold` that a bundle keeps."""

    fraud: NDArray[np.float64]
    fraud_amounts: NDArray[np.float64] | None
    per_day: float | None


def known_cases(inputs: PolicyInputs) -> KnownCases:
    """What a bundle keeps, as :func:`choose_threshold` takes it."""
    return KnownCases(
        fraud=np.array(inputs.fraud_error),
        fraud_amounts=None if inputs.fraud_amount is None else np.array(inputs.fraud_amount),
        per_day=inputs.per_day,
    )


def alert_rate_interval(score: float, rows: int, level: float = INTERVAL_LEVEL) -> tuple[float, float]:
    """Where the alert rate of future legitimate transactions should lie.

    The share of future rows beyond the k-th largest of n exchangeable calibration errors is Beta(k, n + 1 - k)
    distributed. The k-th largest has score 1 - (k + 1) / (n + 1), since a row counts itself in its own rank. Beyond the
    largest (k < 1) the lower end is 0; at score 0 everything alerts and the upper end is 1.

    Returns:
        Exact quantiles (low, high) that hold the rate with probability ``level``.
    """
    k = rows - score * (rows + 1)
    outside = (1 - level) / 2
    low = quantile(outside, k, rows + 1 - k) if k >= 1 else 0.0
    high = quantile(1 - outside, max(k, 1.0), rows + 1 - max(k, 1.0)) if score > 0 else 1.0
    return low, high


def _score(
    policy: Policy,
    calibration: Calibration,
    legitimate: NDArray[np.float64],
    fraud: NDArray[np.float64],
    fraud_amounts: NDArray[np.float64] | None,
    per_day: float | None,
) -> float:
    if policy.name == "alert-rate":
        return 1 - policy.value
    if policy.name == "alerts-per-day":
        if per_day is None:
            raise InvalidInput("alerts-per-day needs a timestamp column to know the volume; use alert-rate")
        if policy.value >= per_day:
            raise InvalidInput(
                f"{policy.value:g} alerts a day are not fewer than the {per_day:,.0f} transactions a day: ask for fewer"
            )
        return 1 - policy.value / per_day
    require_cases(policy, len(fraud))
    # Candidates: alert on everything at or above each fraud row's error. Equality is an alert.
    candidates = np.sort(fraud)
    caught = len(fraud) - np.searchsorted(candidates, candidates, side="left")
    alarms = len(legitimate) - np.searchsorted(np.sort(legitimate), candidates, side="left")
    if policy.name == "min-recall":
        chosen = candidates[caught / len(fraud) >= policy.value][-1]
    elif policy.name == "min-precision":
        good = candidates[caught / (caught + alarms) >= policy.value]
        if len(good) == 0:
            best = float((caught / (caught + alarms)).max())
            raise InvalidInput(
                f"no threshold reaches a precision of {policy.value:g} on the calibration part; the best is {best:.3f}"
            )
        chosen = good[0]
    else:
        missed = _missed_cost(policy, fraud, fraud_amounts, candidates)
        # Alerting on nothing is a candidate too: beyond the largest error seen.
        costs = np.append(policy.value * (caught + alarms) + missed, _total_loss(policy, fraud, fraud_amounts))
        position = int(np.argmin(costs))
        if position == len(candidates):
            top = max(candidates[-1], legitimate.max())
            return float(np.nextafter(calibration.to_score([top])[0], 1))
        chosen = candidates[position]
    return float(calibration.to_score([chosen])[0])


def _losses(policy: Policy, fraud: NDArray[np.float64], amounts: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if policy.missed_fraud is not None:
        return np.full(len(fraud), policy.missed_fraud)
    if amounts is None:
        raise InvalidInput("max-cost without a cost of a missed fraud needs an amount column: give --missed-fraud")
    return amounts


def _total_loss(policy: Policy, fraud: NDArray[np.float64], amounts: NDArray[np.float64] | None) -> float:
    return float(_losses(policy, fraud, amounts).sum())


def _missed_cost(
    policy: Policy,
    fraud: NDArray[np.float64],
    amounts: NDArray[np.float64] | None,
    candidates: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Total loss of the fraud rows below each candidate error."""
    losses = _losses(policy, fraud, amounts)[np.argsort(fraud)]
    cumulated = np.concatenate([[0.0], np.cumsum(losses)])
    missed: NDArray[np.float64] = cumulated[np.searchsorted(candidates, candidates, side="left")]
    return missed
