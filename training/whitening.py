"""Mean and inverse covariance of residuals: robust, shrunk, and with a floor for features that never vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Above this many inputs a few outliers no longer sway the covariance, and down-weighting would cost rows it needs.
MAX_ROBUST_WIDTH = 150
_ROUNDS = 4


def robust_precision(
    residual: NDArray[np.float64], resolution: NDArray[np.float64], departure: NDArray[np.float64], bound: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [D] and inverse covariance [D, D] of residuals [n, D], in which far rows count less.

    Rows weigh w = min(1, q / e)² with q the ``bound`` quantile of e = zᵀ (Σ + diag(departure² − 1))⁻¹ z, z = r − μ,
    found again for a few rounds: a row that lies far enough leaves the estimate. The added variance keeps the rare but
    regular values of a feature that is nearly always zero from counting as far; without it Σ would forget them.

    The covariance is shrunk (Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*,
    2004), and each feature's resolution [D] is added as variance: a constant feature cannot make a tiny change explode.

    Args:
        bound: in (0, 1]; 1 gives every row the same weight.
    """
    weight = np.ones(len(residual))
    mean, covariance = _moments(residual, resolution, weight)
    if bound < 1 and residual.shape[1] <= MAX_ROBUST_WIDTH:
        for _ in range(_ROUNDS):
            z = residual - mean
            error = ((z @ np.linalg.inv(covariance + np.diag(departure**2 - 1))) * z).sum(1)
            far = np.quantile(error, bound)
            weight = np.divide(far, error, out=np.ones_like(error), where=error > far) ** 2
            mean, covariance = _moments(residual, resolution, weight)
    precision = np.linalg.inv(covariance)
    return mean, (precision + precision.T) / 2


def _moments(
    residual: NDArray[np.float64], resolution: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    weight = weight / weight.mean()
    mean = (weight[:, None] * residual).mean(0)
    covariance = shrunk(np.sqrt(weight)[:, None] * (residual - mean))
    size = float(np.trace(covariance)) / len(covariance)
    return mean, covariance + np.diag(resolution**2 + 1e-8 * size + 1e-12)


def shrunk(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance [D, D] of centred rows [n, D], moved towards μI by the share that Ledoit & Wolf estimate."""
    count, width = rows.shape
    covariance = rows.T @ rows / count
    squares = rows**2
    size = float(np.trace(covariance)) / width
    spread = float((covariance**2).sum())
    noise = (float((squares.sum(1) ** 2).sum()) / count - spread) / (width * count)
    distance = spread / width - size**2
    shrinkage = min(noise, distance) / distance if noise > 0 and distance > 0 else 0.0
    moved: NDArray[np.float64] = (1 - shrinkage) * covariance
    moved.flat[:: width + 1] += shrinkage * size
    return moved
