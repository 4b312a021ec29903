"""Operating curves: what every possible threshold would have alerted, caught and cost, thinned for drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """One entry per kept threshold, from the strictest (alerting on the least) to the loosest.

    Attributes:
        threshold: scores, falling.
        alerts: rows with score >= threshold.
        caught, false: of these, fraud and legitimate.
        saved: summed amount of the caught fraud; zeros without amounts.
    """

    threshold: NDArray[np.float64]
    alerts: NDArray[np.float64]
    caught: NDArray[np.float64]
    false: NDArray[np.float64]
    saved: NDArray[np.float64]

    @staticmethod
    def of(
        score: NDArray[np.float64],
        fraud: NDArray[np.bool_],
        legitimate: NDArray[np.bool_],
        amount: NDArray[np.float64] | None,
    ) -> Curve:
        """The curve of rows [n], n > 0, at up to 400 thresholds: as many among the highest scores as over all."""
        order = np.argsort(-score, kind="stable")
        last = np.flatnonzero(np.diff(score[order], append=-np.inf))  # of each run of equal scores
        keep = last[thinned(len(last))]
        lost = np.zeros(len(score)) if amount is None else np.where(fraud, amount, 0.0)
        return Curve(
            threshold=score[order][keep],
            alerts=(keep + 1).astype(np.float64),
            caught=np.cumsum(fraud[order])[keep].astype(np.float64),
            false=np.cumsum(legitimate[order])[keep].astype(np.float64),
            saved=np.cumsum(lost[order])[keep],
        )

    def at(self, alerts: float) -> int:
        """Position of the loosest threshold with at most so many alerts; the strictest where none has."""
        return max(int(np.searchsorted(self.alerts, alerts, side="right")) - 1, 0)


def thinned(entries: int) -> NDArray[np.int64]:
    """Up to 2 x 200 positions of 0 .. entries - 1, ends included: as many per octave as evenly over all."""
    if entries <= 2 * _POINTS:
        return np.arange(entries)
    octaves = np.geomspace(1, entries, _POINTS) - 1
    return np.unique(np.concatenate([octaves, np.linspace(0, entries - 1, _POINTS)]).round().astype(np.int64))
