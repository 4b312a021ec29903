"""What a threshold is: the policy it came from, the score it stands at, and what it promises.

It is chosen in :mod:`models.threshold_choice`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

PolicyName = Literal["alert-rate", "alerts-per-day", "min-precision", "min-recall", "max-cost"]
Decision = Literal["approve", "review", "decline"]
DECISIONS: tuple[Decision, ...] = ("approve", "review", "decline")


class Policy(BaseModel):
    """The user's terms.

    Attributes:
        name: which policy.
        value: a share for ``alert-rate``, ``min-precision`` and ``min-recall``; alerts a day for ``alerts-per-day``;
            the cost of one review for ``max-cost``.
        missed_fraud: for ``max-cost``, the cost of a missed fraud; None means its amount.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: PolicyName
    value: float = Field(gt=0)
    missed_fraud: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _share(self) -> Policy:
        if self.name in ("alert-rate", "min-precision", "min-recall") and self.value >= 1:
            raise ValueError(f"{self.name} is a share between 0 and 1, both excluded")
        return self


class Threshold(BaseModel):
    """Where alerts begin. ``score >= threshold`` is an anomaly; equality is an alert.

    Attributes:
        policy: what the user asked for.
        score: the threshold on the score, in [0, 1).
        error: the same threshold on the reconstruction error.
        decline_policy, decline: the optional second threshold; a score at or above it is declined.
        alert_rate: share of legitimate transactions expected to alert, 1 - score.
        alert_rate_low, alert_rate_high: the interval that share should hold to, from the exact Beta distribution of
            a conformal threshold (Vovk 2012, *Conditional validity of inductive conformal predictors*).
        interval_level: probability of that interval.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    policy: Policy
    score: float = Field(ge=0, lt=1)
    error: float = Field(ge=0)
    decline_policy: Policy | None = None
    decline: float | None = Field(default=None, ge=0, lt=1)
    alert_rate: float
    alert_rate_low: float
    alert_rate_high: float
    interval_level: float

    @model_validator(mode="after")
    def _ordered(self) -> Threshold:
        if (self.decline is None) != (self.decline_policy is None):
            raise ValueError("decline and decline_policy go together")
        if self.decline is not None and self.decline < self.score:
            raise ValueError("the decline threshold lies below the review threshold")
        return self

    def is_anomaly(self, score: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each score raises an alert."""
        return score >= self.score

    def decision(self, score: NDArray[np.float64]) -> NDArray[np.int8]:
        """Positions in DECISIONS: 0 approve, 1 review, 2 decline."""
        code = (score >= self.score).astype(np.int8)
        if self.decline is not None:
            code[score >= self.decline] = 2
        return code
