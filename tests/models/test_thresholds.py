"""A threshold says yes at equality, and no declaration of one may contradict itself."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from models.thresholds import DECISIONS, Policy, Threshold


def threshold(score: float = 0.9, decline: float | None = None) -> Threshold:
    """A threshold at a score."""
    policy = Policy(name="alert-rate", value=0.1)
    return Threshold(
        policy=policy,
        score=score,
        error=1.0,
        decline_policy=policy if decline is not None else None,
        decline=decline,
        alert_rate=1 - score,
        alert_rate_low=0.0,
        alert_rate_high=0.2,
        interval_level=0.95,
    )


def test_equality_is_an_alert() -> None:
    scores = np.array([np.nextafter(0.9, 0), 0.9, np.nextafter(0.9, 1)])
    assert threshold().is_anomaly(scores).tolist() == [False, True, True]
    assert [DECISIONS[code] for code in threshold().decision(scores)] == ["approve", "review", "review"]


def test_two_thresholds_give_three_decisions() -> None:
    scores = np.array([0.5, 0.9, np.nextafter(0.99, 0), 0.99, 1 - 1e-16])
    codes = threshold(decline=0.99).decision(scores)
    assert [DECISIONS[code] for code in codes] == ["approve", "review", "review", "decline", "decline"]
    assert codes.dtype == np.int8


@pytest.mark.parametrize("name", ["alert-rate", "min-precision", "min-recall"])
@pytest.mark.parametrize("value", [0.0, -0.1, 1.0, 2.0, float("nan")])
def test_shares_are_shares(name: str, value: float) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate({"name": name, "value": value})


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValidationError, match="below the review threshold"):
        threshold(decline=0.5)
    with pytest.raises(ValidationError, match="go together"):
        Threshold.model_validate({**threshold().model_dump(), "decline": 0.95})
    with pytest.raises(ValidationError):
        threshold(score=1.0)
