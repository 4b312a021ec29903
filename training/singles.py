"""Fit :class:`models.singles.Singles`: tail probabilities of single features among the training rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.detector import FraudDetector
from models.singles import Bends, Singles
from training.optimise import Rows
from training.whitening import robust_precision

#: Rows and cells that the tails are taken from, rows that the covariance is.
MAX_ROWS, MAX_CELLS = 100_000, 20_000_000
_COVARIANCE_ROWS = 50_000
#: The tail beyond this share of the rows, or beyond this many rows where that is more, is exponential.
_TAIL_SHARE, _TAIL_ROWS = 1e-3, 20
#: A tail is no steeper than one e-fold over this share of where it begins: nothing larger was seen to say more.
_STEEPEST = 0.05
_BLOCK_ROWS = 4_096
_CLOSEST = 1e-6
#: Bends of a feature's size, and of the error and of T, which are looked at over their whole range.
BENDS = (5, 24)


def fit_singles(
    detector: FraudDetector,
    singles: Singles,
    rows: Rows,
    errors: NDArray[np.float64],
    knot: float,
    bound: float,
    first: float,
    weight: float,
    random: np.random.Generator,
) -> None:
    """Fill in ``singles`` from the training rows.

    Args:
        errors: reconstruction errors of rows that were held in.
        knot: of the ensemble's inputs.
        bound: of :func:`training.whitening.robust_precision`.
        first: tail probability from which on a single thing counts.
        weight: of −log p(T) beside the error's.
    """
    count = len(rows.dense)
    most = min(MAX_ROWS, max(1, MAX_CELLS // detector.owner.shape[0]))
    chosen = np.sort(random.choice(count, most, replace=False)) if count > most else np.arange(count)
    x = rows.embed(detector, torch.from_numpy(chosen)[None], knot)[0]
    some = x[:: -(-len(x) // _COVARIANCE_ROWS)].numpy()
    normaliser = detector.normaliser
    mean, precision = robust_precision(some, normaliser.resolution.numpy(), normaliser.departure.numpy(), bound)
    singles.mean.copy_(torch.from_numpy(mean))
    singles.axes.copy_(_axes(torch.from_numpy(precision), detector.owner))
    sizes = singles.sizes(x, detector.owner)
    for column in range(sizes.shape[1]):
        bend(singles.size, column, sizes[:, column].numpy(), first)
    largest = torch.cat([singles.rarest(block)[0] for block in torch.split(sizes, _BLOCK_ROWS)])
    for cause, group in enumerate(singles.members):
        if len(group) > 1:
            bend(singles.cause, cause, largest[:, cause].numpy(), first)
        else:
            singles.cause.set(cause, torch.tensor([0.0], dtype=x.dtype), torch.tensor([0.0], dtype=x.dtype), 1.0)
    total = torch.cat([singles.cause(block).sum(1) for block in torch.split(largest, _BLOCK_ROWS)]).numpy()
    bend(singles.total, 0, total, 1.0)
    knots, rarity, steep = bend(singles.error, 0, errors, 1.0)
    singles.inverse.set(0, rarity, knots, 1 / steep)
    singles.weight.fill_(weight)


def _axes(precision: Tensor, owner: Tensor) -> Tensor:
    """[D, 2D]: z times it, squared and summed over a feature's columns, is its size by itself and given the others."""
    covariance = torch.linalg.inv(precision)
    own, given = torch.zeros_like(precision), torch.zeros_like(precision)
    for feature in range(owner.shape[1]):
        block = owner[:, feature].nonzero()[:, 0]
        square = block[:, None], block[None]
        own[square] = torch.linalg.cholesky(torch.linalg.inv(covariance[square]))
        given[square] = torch.linalg.cholesky(torch.linalg.inv(precision[square]))
    return torch.cat([own, precision @ given], dim=1)


def bend(bends: Bends, column: int, values: NDArray[np.float64], first: float) -> tuple[Tensor, Tensor, float]:
    """Make one function −log of the tail probability of ``values`` >= 0 among themselves, less −log of ``first``.

    Empirical, p(v) = (1 + number of values >= v) / (n + 1), at levels evenly spaced in its logarithm; beyond the
    last level exponential, with the mean excess of the values there.

    Returns:
        Its points and its slope beyond the last.
    """
    ordered = np.sort(values)
    count = len(ordered)
    beyond = min(max(_TAIL_ROWS, round(count * _TAIL_SHARE)), max(1, count // 5))
    levels = np.geomspace(first, beyond / count, bends.knot.shape[1])
    start = max(0, count - int(first * (count + 1)) - 1)
    knots, rarity = [float(ordered[start])], [0.0]
    for level in levels[1:]:
        knot = float(ordered[min(count - 1, count - round(level * count))])
        rare = np.log(first) - np.log((count - np.searchsorted(ordered, knot) + 1) / (count + 1))
        if rare > rarity[-1] and knot > knots[-1] * (1 + _CLOSEST) + 1e-12:
            knots.append(knot)
            rarity.append(float(rare))
    excess = ordered[ordered > knots[-1]] - knots[-1]
    scale = max(float(excess.mean()) if len(excess) else 0.0, _STEEPEST * knots[-1], 1e-9)
    x, y = torch.tensor(knots, dtype=torch.float64), torch.tensor(rarity, dtype=torch.float64)
    bends.set(column, x, y, 1 / scale)
    return x, y, 1 / scale
