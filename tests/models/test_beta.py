"""Quantiles of the Beta distribution, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import beta

from models.beta import cumulative, quantile


@given(st.integers(1, 10**6), st.floats(1e-6, 1.0), st.sampled_from([0.001, 0.025, 0.5, 0.975, 0.999]))
@example(10_000_000, 0.005, 0.025)
@example(10_000_000, 0.999, 0.975)
@example(1, 1.0, 0.5)
def test_as_scipy_has_them(rows: int, share: float, probability: float) -> None:
    k = max(1.0, share * rows)
    found = quantile(probability, k, rows + 1 - k)
    assert found == pytest.approx(float(beta.ppf(probability, k, rows + 1 - k)), rel=1e-8)
    if 0 < found < 1:
        assert cumulative(found, k, rows + 1 - k) == pytest.approx(probability, rel=1e-7)


def test_it_grows_with_the_probability() -> None:
    found = [quantile(p, 5.5, 96.5) for p in np.linspace(0.01, 0.99, 50)]
    assert found == sorted(found) and 0 < found[0] < found[-1] < 1
