"""How well a score ranks fraud above the rest: ROC AUC and average precision."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def rank_metrics(score: NDArray[np.float64], fraud: NDArray[np.bool_]) -> tuple[float, float]:
    """(ROC AUC, average precision) of rows [n], higher score = more anomalous; NaN without both classes."""
    return Ranking(score, fraud, np.zeros(len(score), np.int64)).of(np.ones(1))


class Ranking:
    """ROC AUC and average precision of weighted rows; the sorting is done once.

    Args:
        score: [n], higher = more anomalous.
        fraud: bool [n], with both classes present.
        unit: int [n], which unit of the bootstrap a row belongs to.
    """

    def __init__(self, score: NDArray[np.float64], fraud: NDArray[np.bool_], unit: NDArray[np.int64]) -> None:
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        starts = np.flatnonzero(np.diff(ordered, prepend=np.inf))
        tied = np.cumsum(np.diff(ordered, prepend=np.inf) != 0) - 1
        holds_fraud = np.zeros(len(starts), dtype=bool)
        holds_fraud[tied[fraud[order]]] = True
        # Neighbouring groups of equal scores without fraud act as one: the metrics change at fraud only.
        first = holds_fraud | np.concatenate([[True], holds_fraud[:-1]])
        self._starts = starts[first]
        self._unit = unit[order]
        where = np.flatnonzero(fraud[order])
        self._fraud_unit = self._unit[where]
        self._fraud_cell = np.searchsorted(self._starts, where, side="right") - 1

    def of(self, weight: NDArray[np.float64]) -> tuple[float, float]:
        """(ROC AUC, average precision), each row counted by its unit's weight; NaN without both classes."""
        every = np.add.reduceat(weight[self._unit], self._starts)
        hits = np.bincount(self._fraud_cell, weight[self._fraud_unit], len(every))
        misses = every - hits
        positives, negatives = hits.sum(), misses.sum()
        if positives == 0 or negatives == 0:
            return np.nan, np.nan
        seen, above = np.cumsum(hits), np.cumsum(misses)
        area = float((hits * (negatives - above + misses / 2)).sum() / positives / negatives)
        held = hits > 0
        precision = seen[held] / (seen[held] + above[held])
        return area, float((hits[held] / positives * precision).sum())
