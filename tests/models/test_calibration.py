"""The score is the conformal rank: uniform over legitimate traffic, valid among ties, strictly rising to the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kstest

from models.calibration import Calibration, calibrate
from models.errors import InvalidInput

_ERRORS = st.lists(st.floats(1e-6, 1e6), min_size=21, max_size=80, unique=True)


def test_scores_of_legitimate_traffic_are_uniform() -> None:
    random = np.random.default_rng(0)
    scores = [calibrate(errors[:-1]).to_score(errors[-1:])[0] for errors in random.lognormal(sigma=2, size=(600, 201))]
    assert kstest(scores, "uniform").pvalue > 0.01


@given(st.lists(st.integers(0, 12), min_size=22, max_size=60), st.integers(1, 59))
def test_one_minus_score_is_a_valid_p_value_also_among_ties(values: list[int], level: int) -> None:
    # Of n + 1 exchangeable errors, each calibrated by the others, at most a share a may come out with 1 - score <= a.
    errors = np.array(values, dtype=np.float64)
    others = [np.delete(errors, i) for i in range(len(errors))]
    assume(all(len(np.unique(part)) > 1 for part in others))
    p = np.array([1 - calibrate(part).to_score(errors[i : i + 1])[0] for i, part in enumerate(others)])
    share = min(level, len(errors)) / len(errors)
    assert (p <= share + 1e-12).mean() <= share + 1e-12


@given(_ERRORS)
def test_the_score_counts_the_smaller_errors(values: list[float]) -> None:
    errors = np.sort(values)
    score = calibrate(np.array(values)).to_score(errors)
    np.testing.assert_allclose(score, np.arange(len(errors)) / (len(errors) + 1), rtol=0, atol=1e-12)


def test_many_rows_are_summarised_without_loss_at_the_top() -> None:
    errors = np.sort(np.random.default_rng(1).exponential(size=20_000))
    calibration = calibrate(errors)
    assert len(calibration.error) <= 2_048
    exact = np.arange(20_000) / 20_001
    score = calibration.to_score(errors)
    np.testing.assert_array_equal(score[-1_000:], exact[-1_000:])
    assert np.abs(score - exact).max() < 20 / 20_001


@given(_ERRORS, st.lists(st.floats(0, 1e200), min_size=2, max_size=20))
def test_more_error_never_scores_less(values: list[float], errors: list[float]) -> None:
    score = calibrate(np.array(values)).to_score(np.sort(errors))
    assert (np.diff(score) >= 0).all()
    assert ((score >= 0) & (score < 1)).all()


@pytest.mark.parametrize("rows", [20, 1_000, 30_000])
@pytest.mark.parametrize("sigma", [1e-3, 1.0, 8.0])
def test_the_tail_rises_strictly_to_the_end(rows: int, sigma: float) -> None:
    errors = np.random.default_rng(2).lognormal(sigma=sigma, size=rows)
    calibration = calibrate(errors)
    beyond = np.geomspace(errors.max(), 1e200, 2_000)
    score = calibration.to_score(beyond)
    assert (np.diff(score) > 0).all()
    assert score[-1] < 1


@given(st.lists(st.integers(1, 10_000), min_size=21, max_size=80, unique=True), st.floats(0, 1, exclude_max=True))
def test_to_error_is_the_inverse(values: list[int], score: float) -> None:
    calibration = calibrate(np.array(values, dtype=np.float64))
    error = calibration.to_error(score)
    assert np.isfinite(error)
    if error < 1e300:
        np.testing.assert_allclose(calibration.to_score(np.array([error])), [score], rtol=0, atol=1e-9)


@given(st.lists(st.integers(0, 30), min_size=21, max_size=80))
def test_the_calibration_errors_are_remembered(values: list[int]) -> None:
    assume(len(set(values)) > 1)
    assert calibrate(np.array(values, dtype=np.float64)).errors().tolist() == sorted(values)


def test_among_many_the_largest_are_remembered_exactly() -> None:
    errors = np.sort(np.random.default_rng(1).exponential(size=20_000))
    remembered = calibrate(errors).errors()
    np.testing.assert_array_equal(remembered[-1_000:], errors[-1_000:])
    np.testing.assert_allclose(remembered, errors, rtol=0.02, atol=0.01)


@given(_ERRORS)
def test_a_calibration_survives_the_manifest(values: list[float]) -> None:
    calibration = calibrate(np.array(values))
    again = Calibration.model_validate_json(calibration.model_dump_json())
    probe = np.geomspace(1e-9, 1e12, 200)
    np.testing.assert_array_equal(again.to_score(probe), calibration.to_score(probe))


def test_scores_keep_the_shape() -> None:
    calibration = calibrate(np.arange(1.0, 31.0))
    assert calibration.to_score(np.ones((2, 3))).shape == (2, 3)
    assert calibration.to_score(np.empty(0)).shape == (0,)


def test_too_little_to_calibrate_on() -> None:
    with pytest.raises(InvalidInput, match="the calibration part has 19 legitimate rows, at least 20 are needed"):
        calibrate(np.arange(19.0))
    for same in (0.0, 3.0):
        with pytest.raises(InvalidInput, match="the same reconstruction error"):
            calibrate(np.full(50, same))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"error": [1.0, 1.0]}, "not increasing"),
        ({"score": [0.5, 0.4]}, "not increasing"),
        ({"error": [1.0, 2.0, 3.0]}, "different lengths"),
        ({"error": [-1.0, 2.0]}, "outside their range"),
        ({"score": [0.0, 1.0]}, "outside their range"),
        ({"tail_scale": 0.0}, "greater than 0"),
        ({"error": [0.0, float("inf")]}, "finite"),
    ],
)
def test_a_calibration_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    body: dict[str, object] = {"rows": 20, "error": [1.0, 2.0], "score": [0.0, 0.5], "tail_scale": 1.0}
    with pytest.raises(ValueError, match=message):
        Calibration.model_validate({**body, **change})
