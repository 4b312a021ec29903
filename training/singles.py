"""Fit :class:`models.singles.Singles`: tail probabilities of single features among the training rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from models.detector import FraudDetector
from models.singles import VIEWS, Singles
from training.optimise import Rows
from training.whitening import robust_precision

#: Rows and cells that the tails are taken from, rows that the covariance is.
MAX_ROWS, MAX_CELLS = 100_000, 20_000_000
_COVARIANCE_ROWS = 50_000
#: The tail beyond this share of the rows, or beyond this many rows where that is more, is exponential.
_TAIL_SHARE, _TAIL_ROWS = 1e-3, 20
#: A tail is no steeper than one e-fold over this share of its distance from the median: nothing larger says more.
_STEEPEST = 0.05
_CLOSEST = 1e-6
#: Bends of each function.
BENDS = 3


def fit_singles(
    detector: FraudDetector,
    singles: Singles,
    rows: Rows,
    knot: float,
    bound: float,
    first: float,
    weight: float,
    random: np.random.Generator,
) -> None:
    """Fill in ``singles`` from the training rows.

    Args:
        knot: of the ensemble's inputs.
        bound: of :func:`training.whitening.robust_precision`.
        first: tail probability from which on a single thing counts.
        weight: of each cause in T.
    """
    count = len(rows.dense)
    width = detector.owner.shape[0]
    most = min(MAX_ROWS, max(1, MAX_CELLS // width))
    chosen = np.sort(random.choice(count, most, replace=False)) if count > most else np.arange(count)
    x = rows.embed(detector, torch.from_numpy(chosen)[None], knot)[0]
    normaliser = detector.normaliser
    some = x[:: -(-len(x) // _COVARIANCE_ROWS)].numpy()
    precision = robust_precision(some, normaliser.resolution.numpy(), normaliser.departure.numpy(), bound)[1]
    singles.given.copy_(torch.from_numpy(precision / np.sqrt(np.diag(precision))))
    both = np.ascontiguousarray(singles.views(x)[:, : 2 * width].T.numpy())
    causes = torch.tensor(normaliser.layout.causes)[detector.owner.argmax(1)]
    share = weight / torch.bincount(causes)[causes].repeat(VIEWS)
    resolution = torch.cat([normaliser.resolution, normaliser.resolution * singles.given.diag()])
    for column, values in enumerate(both):
        for view, signed in ((column, values), (2 * width + column, -values)):
            bend(singles, view, signed, first, float(resolution[column]))
            singles.slope[:, view] *= share[view]


def bend(singles: Singles, view: int, values: NDArray[np.float64], first: float, resolution: float) -> None:
    """Make one function −log of the tail probability of ``values`` among themselves, less −log of ``first``.

    Empirical, p(v) = (1 + number of values >= v) / (n + 1), at levels evenly spaced in its logarithm; beyond the
    last level exponential, with the mean excess of the values there.

    Args:
        resolution: > 0, the smallest change of a value that may be news.
    """
    ordered = np.sort(values)
    count = len(ordered)
    median = float(ordered[count // 2])
    beyond = min(max(_TAIL_ROWS, round(count * _TAIL_SHARE)), max(1, count // 5))
    knots, rarity = [float(ordered[max(0, count - int(first * (count + 1)) - 1)])], [0.0]
    for level in np.geomspace(first, beyond / count, len(singles.knot))[1:]:
        knot = float(ordered[min(count - 1, count - round(level * count))])
        rare = np.log(first) - np.log((count - np.searchsorted(ordered, knot) + 1) / (count + 1))
        if rare > rarity[-1] and knot > knots[-1] + _CLOSEST * abs(knots[-1]) + 1e-12:
            knots.append(knot)
            rarity.append(float(rare))
    excess = ordered[ordered > knots[-1]] - knots[-1]
    scale = max(float(excess.mean()) if len(excess) else 0.0, _STEEPEST * (knots[-1] - median), resolution)
    points = torch.tensor([knots, rarity], dtype=torch.float64)
    singles.set(view, points[0], points[1], 1 / scale)
