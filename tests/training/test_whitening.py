"""The covariance of residuals: shrunk as scikit-learn shrinks it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import ledoit_wolf

from training.whitening import shrunk


@pytest.mark.parametrize(("rows", "width"), [(2, 3), (40, 60), (500, 7), (100, 1)])
def test_it_is_shrunk_as_by_scikit_learn(rows: int, width: int) -> None:
    random = np.random.default_rng(rows)
    table = random.normal(size=(rows, width)) @ random.normal(size=(width, width))
    expected, shrinkage = ledoit_wolf(table, assume_centered=True)
    assert 0 < shrinkage <= 1 or width == 1
    np.testing.assert_allclose(shrunk(table), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
