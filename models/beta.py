"""Quantiles of the Beta distribution, in plain Python: serving has no SciPy, and training need not load it."""

from __future__ import annotations

from math import exp, lgamma, log, log1p

_TINY, _EPSILON, _MOST_STEPS = 1e-300, 1e-15, 100_000


def quantile(probability: float, a: float, b: float) -> float:
    """The x in [0, 1] below which a Beta(a, b) variable lies with this probability; found by bisection.

    Args:
        probability: in (0, 1).
        a, b: > 0. Accurate to 1e-8 of x up to a + b = 10^7, as the tests check against SciPy.
    """
    low, high = 0.0, 1.0
    while low < (middle := (low + high) / 2) < high and high - low > _EPSILON * high:
        if cumulative(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def cumulative(x: float, a: float, b: float) -> float:
    """The probability that a Beta(a, b) variable lies below x in (0, 1): the regularised incomplete beta function."""
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Its continued fraction, by the modified method of Lentz (Press et al., *Numerical Recipes*, 3rd ed., 6.4)."""
    c, d = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _EPSILON:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
