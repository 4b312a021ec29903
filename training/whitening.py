"""Mean and inverse covariance of residuals: robust, shrunk, and with a floor for features that never vary."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

#: Above this many inputs a few outliers no longer sway the covariance, and trimming would cost rows it needs.
MAX_TRIMMED_WIDTH = 150


def robust_precision(
    residual: NDArray[np.float64], resolution: NDArray[np.float64], trimmed: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [D] and inverse covariance [D, D] of residuals [n, D], without the share of rows that fits worst.

    The covariance is shrunk (Ledoit & Wolf, *A well-conditioned estimator for large-dimensional covariance matrices*,
    2004), and each feature's resolution [D] is added as variance: a constant feature cannot make a tiny change explode.

    Args:
        trimmed: share left out, the largest errors first; 0 leaves none out.
    """
    mean, precision = _precision(residual, resolution)
    if trimmed > 0 and residual.shape[1] <= MAX_TRIMMED_WIDTH:
        centered = residual - mean
        error = ((centered @ precision) * centered).sum(1)
        mean, precision = _precision(residual[error <= np.quantile(error, 1 - trimmed)], resolution)
    return mean, precision


def _precision(
    residual: NDArray[np.float64], resolution: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mean = residual.mean(0)
    covariance, _ = ledoit_wolf(residual - mean, assume_centered=True)
    size = float(np.trace(covariance)) / len(covariance)
    covariance = covariance + np.diag(resolution**2 + 1e-8 * size + 1e-12)
    precision = np.linalg.inv(covariance)
    return mean, (precision + precision.T) / 2
