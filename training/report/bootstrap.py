"""Intervals: the bootstrap over cards (or rows) of sums, shares and ranking metrics, with a fixed seed.

Rows of one card are not independent: a stolen card gives several fraud rows. So whole cards are drawn with replacement
(the cluster bootstrap; Davison & Hinkley, *Bootstrap Methods and their Application*, 1997, section 3.8), plain rows
where there is no card. Intervals are percentile intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from models.beta import quantile
from training.ranking import Ranking

LEVEL = 0.95
_MOST, _FEWEST = 1_000, 200
#: Rows drawn in all: keeps a report on 600,000 rows within seconds.
_BUDGET = 120_000_000
_SEED = 20_240_229


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval; ``low`` and ``high`` are None where no resample has the figure."""

    value: float
    low: float | None = None
    high: float | None = None

    def map(self, change: Callable[[float], float]) -> Estimate:
        """The figure under a monotone change, rising or falling."""
        if self.low is None or self.high is None:
            return Estimate(change(self.value))
        ends = sorted((change(self.low), change(self.high)))
        return Estimate(change(self.value), ends[0], ends[1])


class Bootstrap:
    """Sums over the rows, and the same sums over resampled rows.

    Args:
        columns: per name one number per row [n].
        unit: int [n], rows with the same number are drawn together; numbered from 0 without gaps.
        ranking: rows to rank, or None.

    Attributes:
        resamples: how many there are.
    """

    def __init__(
        self, columns: Mapping[str, NDArray[np.generic]], unit: NDArray[np.int64], ranking: Ranking | None
    ) -> None:
        units = int(unit.max(initial=-1)) + 1
        self._names = list(columns)
        values = [np.asarray(column, dtype=np.float64) for column in columns.values()]
        self._sums = dict(zip(self._names, (float(column.sum()) for column in values), strict=True))
        table = _by_unit(values, unit, units)
        self._units_with = dict(zip(self._names, np.diff(table.indptr).tolist(), strict=True))
        self.resamples = int(np.clip(_BUDGET // max(len(unit), 1), _FEWEST, _MOST))
        random = np.random.default_rng(_SEED)
        self._drawn = np.zeros((self.resamples, len(values)))
        self._ranks = np.full((self.resamples, 2), np.nan)
        self._rank = ranking.of(np.ones(units)) if ranking else None
        for number in range(self.resamples if units else 0):
            weight = np.bincount(random.integers(0, units, units), minlength=units).astype(np.float64)
            self._drawn[number] = table @ weight
            if ranking:
                self._ranks[number] = ranking.of(weight)

    def __getitem__(self, name: str) -> float:
        """The sum of a column over the rows themselves."""
        return self._sums[name]

    def share(self, part: str, whole: str) -> Estimate | None:
        """One sum as a share of another; None where the whole is empty.

        A share of 0 or 1 looks certain to a bootstrap. There the interval is the exact one, with the units that have
        the whole as trials.
        """
        if self[whole] == 0:
            return None
        value = self[part] / self[whole]
        if value in (0.0, 1.0):
            trials = max(self._units_with[whole], 1)
            reach = exact_interval(0, trials)[1]
            return Estimate(value, 0.0, reach) if value == 0 else Estimate(value, 1 - reach, 1.0)
        whole_drawn = self._column(whole)
        held = whole_drawn > 0
        return _interval(value, self._column(part)[held] / whole_drawn[held])

    def total(self, weights: Mapping[str, float]) -> Estimate:
        """A weighted sum of columns."""
        drawn = np.zeros(self.resamples)
        for name, weight in weights.items():
            drawn += weight * self._column(name)
        return _interval(sum(weight * self[name] for name, weight in weights.items()), drawn)

    def ranking(self) -> tuple[Estimate, Estimate] | None:
        """(ROC AUC, average precision); None where a class is missing."""
        if self._rank is None:
            return None
        held = self._ranks[np.isfinite(self._ranks[:, 0])]
        return _interval(self._rank[0], held[:, 0]), _interval(self._rank[1], held[:, 1])

    def _column(self, name: str) -> NDArray[np.float64]:
        return self._drawn[:, self._names.index(name)]


def exact_interval(hits: int, trials: int) -> tuple[float, float]:
    """Of a share, between 0 and 1: the exact binomial one (Clopper & Pearson, Biometrika 26, 1934).

    Args:
        hits: of the trials, of which there is at least one.
    """
    tail = 0.5 - LEVEL / 2
    low = quantile(tail, hits, trials - hits + 1) if hits else 0.0
    return low, quantile(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0


def mean_of_days(daily: tuple[float, ...]) -> Estimate:
    """The mean of daily figures, whole days resampled; no interval for fewer than three days."""
    values = np.array(daily)
    if len(values) < 3:
        return Estimate(float(values.mean()))
    picks = np.random.default_rng(_SEED).integers(0, len(values), (_MOST, len(values)))
    return _interval(float(values.mean()), values[picks].mean(axis=1))


def _by_unit(values: list[NDArray[np.float64]], unit: NDArray[np.int64], units: int) -> coo_array:
    """Sparse [columns, units]: each column's sum over the rows of a unit."""
    where = [np.flatnonzero(column) for column in values]
    cells = np.concatenate([column[rows] for column, rows in zip(values, where, strict=True)])
    row = np.repeat(np.arange(len(values)), [len(rows) for rows in where])
    table = coo_array((cells, (row, unit[np.concatenate(where)])), shape=(len(values), units)).tocsr()
    table.sum_duplicates()
    return table


def _interval(value: float, drawn: NDArray[np.float64]) -> Estimate:
    if len(drawn) < 2:
        return Estimate(value)
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(value, float(low), float(high))
