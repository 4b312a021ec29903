"""Drift of the alert rate: an alarm that may be looked at every day, for rates above and below what was promised.

A Shiryaev-Roberts e-detector over blocks of a day (Shin, Ramdas & Rinaldo, *E-detectors: a nonparametric framework for
sequential change detection*, New England Journal of Statistics in Data Science, 2024, doi 10.51387/23-NEJSDS51). It
asks for no model of the counts: a day's rate may vary as it likes, as long as its mean keeps the promise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.manifest import Manifest

#: Evidence at which to raise an alarm: without drift one in ten years or more, on average.
ALARM = 3_650.0
_STAKES = np.array([0.1, 0.25, 0.5, 0.9])
#: Times the promised alerts that one day may count for, at most: a day of attack alone is no drift.
_MOST = 4.0
_LARGEST = 1e300


@dataclass(frozen=True, slots=True)
class Promise:
    """Alerts per transaction that a version stands for, those on fraud included.

    Attributes:
        low, expected, high: shares; ``low`` and ``high`` are the ends of the threshold's interval.
    """

    low: float
    expected: float
    high: float

    @staticmethod
    def of(manifest: Manifest) -> Promise:
        """The threshold's promise for legitimate transactions, and the fraud that alerted in the calibration part."""
        threshold, part = manifest.threshold, manifest.training.calibration
        fraud = np.array(manifest.policy_inputs.fraud_error)
        caught = float((fraud >= threshold.error).sum()) / max(part.rows, 1)
        legitimate = 1 - len(fraud) / max(part.rows, 1)
        low, expected, high = (
            legitimate * rate + caught
            for rate in (threshold.alert_rate_low, threshold.alert_rate, threshold.alert_rate_high)
        )
        return Promise(low, expected, high)


@dataclass(frozen=True, slots=True)
class Drift:
    """Evidence after each day [days], in the order of the days: an alarm where it is ``ALARM`` or more.

    Attributes:
        above: that more alerts are raised than promised.
        below: that fewer are.
    """

    above: NDArray[np.float64]
    below: NDArray[np.float64]


def watch(alerts: ArrayLike, low: ArrayLike, high: ArrayLike) -> Drift:
    """Evidence of drift over consecutive days since a network began to serve.

    x = min(alerts / high, 4), S ← (1 + S)(1 + μ(x − 1)), the mean over μ; below the promise with x = 2 − alerts / low,
    and nothing below 0 gained. A day for which nothing was promised, as one without rows, says nothing.

    Args:
        alerts: [..., days], counts; each of the leading axes is a series of its own.
        low, high: the same, alerts that were promised of that day's rows; the promise may change from day to day.
    """
    counted = np.asarray(alerts, dtype=np.float64)
    above = np.minimum(_ratio(counted, high), _MOST)
    below = 2 - _ratio(counted, low)
    return Drift(_shiryaev_roberts(above), _shiryaev_roberts(below))


def _ratio(counted: NDArray[np.float64], promised: ArrayLike) -> NDArray[np.float64]:
    least = np.asarray(promised, dtype=np.float64)
    return np.divide(counted, least, out=np.ones_like(counted), where=least > 0)


def _shiryaev_roberts(x: NDArray[np.float64]) -> NDArray[np.float64]:
    gain = np.maximum(1 + _STAKES * (x[..., None] - 1), 0)
    evidence = np.empty_like(x)
    so_far = np.zeros(gain.shape[:-2] + gain.shape[-1:])
    for day in range(x.shape[-1]):
        so_far = np.minimum((1 + so_far) * gain[..., day, :], _LARGEST)
        evidence[..., day] = so_far.mean(axis=-1)
    return evidence
