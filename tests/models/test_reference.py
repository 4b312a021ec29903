"""The training rows' distributions: no shift is seen where there is none, and a shift is put back as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.reference import Reference
from models.rows import Batch, Vocabulary

VOCABULARY = Vocabulary((("a", "b", "c"), ("x",)))


def batch(rows: int, seed: int) -> Batch:
    """A number of long tail, one of a few whole values, one that is missing in a third; two categories."""
    random = np.random.default_rng(seed)
    numeric = np.column_stack(
        [random.lognormal(3, 1, rows), random.poisson(0.7, rows).astype(float), random.normal(size=rows)]
    )
    numeric[random.random(rows) < 0.33, 2] = np.nan
    categorical = np.column_stack([random.choice(4, rows, p=[0.02, 0.5, 0.3, 0.18]), random.integers(0, 2, rows)])
    return Batch(numeric, categorical.astype(np.int64), np.arange(rows))


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.of(batch(20_000, 0), VOCABULARY)


def test_the_same_distribution_is_no_shift(reference: Reference) -> None:
    assert sum(len(reference.shifted(batch(rows, seed))) for seed in range(1, 21) for rows in (200, 4_000)) <= 1


@pytest.mark.parametrize("feature", range(5))
def test_a_shift_of_each_feature_is_seen_and_put_back(reference: Reference, feature: int) -> None:
    same = batch(4_000, 30)
    numeric, categorical = same.numeric.copy(), same.categorical.copy()
    if feature < 2:
        numeric[:, feature] = numeric[:, feature] * 1.5 + 1
    elif feature == 2:
        numeric[:3_000, 2] = np.nan
    else:
        categorical[:1_500, feature - 3] = 0
    moved = replace(same, numeric=numeric, categorical=categorical)
    assert reference.shifted(moved).tolist() == [feature]
    back = reference.put_back(moved, feature)
    assert len(reference.shifted(back)) == 0
    others = [other for other in range(3) if other != feature]
    np.testing.assert_array_equal(back.numeric[:, others], moved.numeric[:, others])
    if feature == 1:
        np.testing.assert_array_equal(back.numeric[:, 1], back.numeric[:, 1].round())
    if feature < 2:
        order = np.argsort(moved.numeric[:, feature], kind="stable")
        assert (np.diff(back.numeric[order, feature]) >= 0).all() or feature == 1  # ranks are kept
        np.testing.assert_allclose(
            np.quantile(back.numeric[:, feature], [0.1, 0.5, 0.9, 0.99]),
            np.quantile(same.numeric[:, feature], [0.1, 0.5, 0.9, 0.99]),
            rtol=0.15,
        )


def test_what_is_always_missing_and_one_row_are_borne() -> None:
    one = Batch(np.array([[np.nan, 1.0]]), np.array([[1]]), np.zeros(1, np.int64))
    reference = Reference.of(one, Vocabulary((("a",),)))
    assert np.isnan(reference.put_back(one, 0).numeric[0, 0])
    assert Reference.model_validate_json(reference.model_dump_json()) == reference
    assert len(reference.shifted(one)) == 0
