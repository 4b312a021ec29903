"""The cost of a threshold: reviews of its alerts, and the fraud it misses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.schema import TransactionSchema
from models.thresholds import Policy, Threshold
from training.report.curves import Curve

#: What a review is taken to cost, in units of the amount, where the policy does not say.
DEFAULT_REVIEW = 5.0


@dataclass(frozen=True)
class CostTerms:
    """What is counted.

    Attributes:
        review: cost of looking into one alert.
        missed: cost of one missed fraud; None means its amount.
        assumed: whether ``review`` is the default, not the user's.
    """

    review: float
    missed: float | None
    assumed: bool

    @staticmethod
    def of(schema: TransactionSchema, threshold: Threshold) -> CostTerms | None:
        """The terms of a max-cost policy, else the default with amounts; None where neither exists."""
        policies: list[Policy | None] = [threshold.policy, threshold.decline_policy]
        for policy in policies:
            if policy is not None and policy.name == "max-cost":
                return CostTerms(policy.value, policy.missed_fraud, assumed=False)
        return None if schema.amount is None else CostTerms(DEFAULT_REVIEW, None, assumed=True)

    def weights(self) -> dict[str, float]:
        """The cost as weights of the sums that :mod:`training.report.detection` counts."""
        missed = (
            {"amount": 1.0, "amount caught": -1.0}
            if self.missed is None
            else {"fraud": self.missed, "caught": -self.missed}
        )
        return {"alerts": self.review, **missed}


@dataclass(frozen=True)
class CostCurve:
    """Cost per unit of volume at each threshold of a :class:`Curve`.

    Attributes:
        threshold: scores, falling.
        reviews, missed: the two parts of the cost.
        nothing: the cost where nothing is alerted on: all fraud missed.
        best: position of the lowest sum, known only afterwards.
    """

    threshold: NDArray[np.float64]
    reviews: NDArray[np.float64]
    missed: NDArray[np.float64]
    nothing: float
    best: int

    @staticmethod
    def of(terms: CostTerms, curve: Curve, fraud: int, amount: float, units: float) -> CostCurve:
        """Cost per unit; ``fraud`` and ``amount`` are the part's totals, ``units`` how many units it has."""
        reviews = terms.review * curve.alerts / units
        lost = amount - curve.saved if terms.missed is None else terms.missed * (fraud - curve.caught)
        nothing = amount if terms.missed is None else terms.missed * fraud
        return CostCurve(
            curve.threshold, reviews, lost / units, nothing / units, int(np.argmin(reviews + lost / units))
        )
