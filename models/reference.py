"""How each feature was distributed among the training rows: what later rows are held against, and put back to."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.rows import Batch, Vocabulary

#: Cumulative shares at which a number's distribution is kept: close together in the tails, where alerts are from.
SHARES = np.unique(
    np.concatenate([np.linspace(0, 1, 65), (tail := np.array([0.001, 0.002, 0.005, 0.01])), 1 - tail]).round(6)
)
#: Sure enough to call a difference one, with many features looked at: Kolmogorov's at 0.0005, and standard deviations.
_KOLMOGOROV, _DEVIATIONS = 2.0, 4.0


class Reference(BaseModel):
    """Distributions of the training rows.

    Attributes:
        rows: how many.
        missing: share of missing numbers, per numeric feature.
        knots: the numbers at ``SHARES``, per numeric feature; empty where all were missing.
        shares: per categorical feature, the share of values not in the vocabulary, then of each that is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    rows: int
    missing: list[float]
    knots: list[list[float]]
    shares: list[list[float]]

    @staticmethod
    def of(batch: Batch, vocabulary: Vocabulary) -> Reference:
        """Of the rows of a batch, at least one."""
        rows = len(batch)
        present = [column[~np.isnan(column)] for column in batch.numeric.T]
        return Reference(
            rows=rows,
            missing=[1 - len(column) / rows for column in present],
            knots=[
                np.quantile(column, SHARES, method="inverted_cdf").tolist() if len(column) else [] for column in present
            ],
            shares=[
                (np.bincount(codes, minlength=len(known) + 1) / rows).tolist()
                for codes, known in zip(batch.categorical.T, vocabulary.values, strict=True)
            ],
        )

    def shifted(self, batch: Batch) -> NDArray[np.int64]:
        """Positions of the features, numeric then categorical, whose distribution differs by more than chance."""
        numbers = [
            _distance(column[~np.isnan(column)], np.array(knots), self.rows) > 1
            or _share_differs(np.isnan(column).mean(), missing, len(batch), self.rows)
            for column, knots, missing in zip(batch.numeric.T, self.knots, self.missing, strict=True)
        ]
        categories = [
            any(
                _share_differs(now, before, len(batch), self.rows)
                for now, before in zip(_shares(codes, shares), shares, strict=True)
            )
            for codes, shares in zip(batch.categorical.T, self.shares, strict=True)
        ]
        return np.flatnonzero(numbers + categories)

    def put_back(self, batch: Batch, feature: int, seed: int = 0) -> Batch:
        """The batch with one feature distributed as in training, the order of its values kept.

        Args:
            feature: position, numeric features first, then categorical ones.
        """
        random = np.random.default_rng(seed)
        numbers = batch.numeric.shape[1]
        if feature < numbers:
            numeric = batch.numeric.copy()
            numeric[:, feature] = self._number(numeric[:, feature], feature, random)
            return Batch(numeric, batch.categorical, batch.time)
        categorical = batch.categorical.copy()
        shares = self.shares[feature - numbers]
        categorical[:, feature - numbers] = _recoded(categorical[:, feature - numbers], np.array(shares), random)
        return Batch(batch.numeric, categorical, batch.time)

    def _number(self, column: NDArray[np.float64], feature: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Each number that of the training rows with the same rank; missing as many as there."""
        knots = np.array(self.knots[feature])
        if not len(knots):
            return np.full_like(column, np.nan)
        # Equal numbers are ranked at random; those that are missing come last, and are spread over all ranks.
        order = np.lexsort((random.random(len(column)), column))
        present = int((~np.isnan(column)).sum())
        rank = np.empty(len(column))
        rank[order[:present]] = (np.arange(present) + 0.5) / max(present, 1)
        rank[order[present:]] = random.random(len(column) - present)
        moved: NDArray[np.float64] = np.interp(rank, SHARES, knots)
        if np.all(knots == knots.round()):
            moved = moved.round()
        wanted = round(self.missing[feature] * len(column))
        absent = order[present:]
        empty = random.permutation(absent)[:wanted]
        if wanted > len(absent):
            empty = np.concatenate([absent, random.permutation(order[:present])[: wanted - len(absent)]])
        moved[empty] = np.nan
        return moved


def _distance(column: NDArray[np.float64], knots: NDArray[np.float64], rows: int) -> float:
    """Kolmogorov-Smirnov distance, in units of what chance explains. Of a step only its two ends are known."""
    if not len(column) or not len(knots):
        return 0.0
    ordered = np.sort(column)
    values, first = np.unique(knots, return_index=True)
    last = np.append(first[1:], len(knots)) - 1
    up_to = np.searchsorted(ordered, values, side="right") / len(ordered)
    below = np.searchsorted(ordered, values, side="left") / len(ordered)
    after, before = SHARES[np.minimum(last + 1, len(SHARES) - 1)], SHARES[np.maximum(first - 1, 0)]
    gaps = np.concatenate([SHARES[last] - up_to, up_to - after, before - below, below - SHARES[first]])
    return float(gaps.max()) / (_KOLMOGOROV * math.sqrt(1 / len(column) + 1 / rows))


def _shares(codes: NDArray[np.int64], before: list[float]) -> NDArray[np.float64]:
    counts: NDArray[np.float64] = np.bincount(codes, minlength=len(before)) / max(len(codes), 1)
    return counts


def _share_differs(now: float, before: float, rows: int, reference_rows: int) -> bool:
    pooled = (now * rows + before * reference_rows) / (rows + reference_rows)
    return abs(now - before) > _DEVIATIONS * math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / reference_rows)) + 1e-9


def _recoded(codes: NDArray[np.int64], shares: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.int64]:
    """As few codes changed as give these shares."""
    surplus = np.bincount(codes, minlength=len(shares)) - shares * len(codes)
    recoded = codes.copy()
    free = [
        random.permutation(np.flatnonzero(codes == code))[: round(surplus[code])]
        for code in np.flatnonzero(surplus >= 0.5)
    ]
    if free:
        rows = np.concatenate(free)
        lacking = np.maximum(-surplus, 0)
        recoded[rows] = random.choice(len(shares), len(rows), p=lacking / lacking.sum())
    return recoded
