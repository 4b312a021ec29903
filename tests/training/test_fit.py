"""Fitting: the same seed gives the same bits, the loss falls, and the result beats chance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from models.detector import export_onnx, run_torch
from models.errors import InvalidInput
from models.graph import Graph
from models.normaliser import Layout
from models.rows import Batch, Vocabulary
from models.schema import parse_schema
from training.fit import FitOptions, FitResult, fit_detector
from training.optimise import FitProgress

OPTIONS = FitOptions(hidden=(16,), members=2, steps=120)
WIDTH = 6
LAYOUT = Layout.of(
    parse_schema({"name": "t", "columns": {f"x{i}": {"kind": "numeric"} for i in range(WIDTH)}}, source="t"),
    Vocabulary(()),
)
_MIX = np.random.default_rng(9).normal(size=(2, WIDTH))


def rows(count: int, seed: int, *, structured: bool = True) -> Batch:
    """Six numbers that follow two hidden ones, or have the same spread but nothing in common."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(count, 2)) @ _MIX + 0.1 * random.normal(size=(count, WIDTH))
    if not structured:
        numeric = np.column_stack([random.permutation(column) for column in numeric.T])
    return Batch(numeric, np.empty((count, 0), np.int64), np.zeros(count, np.int64))


def fit(seed: int = 0, count: int = 1_000, options: FitOptions = OPTIONS) -> FitResult:
    return fit_detector(rows(count, 0), LAYOUT, options, seed=seed)


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit()


def test_the_same_seed_gives_the_same_bits(result: FitResult) -> None:
    before = torch.random.get_rng_state()
    again = fit()
    assert torch.equal(before, torch.random.get_rng_state())
    one, other = result.detector.state_dict(), again.detector.state_dict()
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [state.loss for state in again.history] == [state.loss for state in result.history]
    different = fit(seed=1).detector.state_dict()
    assert not all(torch.equal(one[name], different[name]) for name in one)


def test_the_threads_of_the_caller_stay_as_they_were() -> None:
    before = torch.get_num_threads()
    fit(count=60, options=FitOptions(hidden=(4,), members=1, steps=3))
    assert torch.get_num_threads() == before


def test_the_loss_falls_and_progress_is_told() -> None:
    seen: list[FitProgress] = []
    result = fit_detector(rows(1_000, 0), LAYOUT, OPTIONS, seed=0, on_progress=seen.append)
    assert tuple(seen) == result.history
    assert seen[-1].loss < 0.5 * seen[0].loss
    assert seen[-1].held_in_loss < 0.5 * seen[0].held_in_loss
    steps = [state.step for state in seen]
    assert steps == sorted(set(steps)) and steps[-1] <= OPTIONS.steps == seen[0].steps  # type: ignore[operator]
    assert all(state.seconds_left >= 0 and state.learning_rate >= 0 for state in seen)


def test_it_beats_chance(result: FitResult) -> None:
    legitimate, odd = rows(500, 1), rows(500, 2, structured=False)
    error = run_torch(result.detector, Batch.concat([legitimate, odd]))[0]
    assert roc_auc_score(np.arange(1_000) >= 500, error) > 0.9


@pytest.mark.parametrize(
    "options",
    [
        FitOptions(hidden=(), members=1, steps=5),
        FitOptions(hidden=(8, 4), members=3, steps=5),
        FitOptions(hidden=(8,), members=2, steps=5, error="euclidean"),
        FitOptions(hidden=(8,), members=2, steps=5, memory=False),
        FitOptions(hidden=(8,), members=2, steps=5, noise=0.0),
        FitOptions(hidden=(8,), members=2, steps=5, architecture="overcomplete"),
        FitOptions(hidden=(8,), members=2, steps=5, code_size=1),
    ],
)
@pytest.mark.parametrize("count", [50, 300])
def test_every_option_gives_finite_errors(options: FitOptions, count: int) -> None:
    detector = fit(count=count, options=options).detector
    error, contributions, expected, code = run_torch(detector, rows(20, 3))
    assert error.shape == (20,) and contributions.shape == expected.shape == (20, WIDTH)
    assert code.shape == (20, detector.autoencoder.config.code_size)
    assert all(np.isfinite(array).all() for array in (error, contributions, expected, code))
    assert (error >= 0).all()
    np.testing.assert_allclose(contributions.sum(1), error, rtol=1e-9)


def test_the_default_code_is_narrower_than_the_inputs() -> None:
    for width in (2, 3, 6, 40):
        columns = {f"x{i}": {"kind": "numeric"} for i in range(width)}
        layout = Layout.of(parse_schema({"name": "t", "columns": columns}, source="t"), Vocabulary(()))
        assert 1 <= FitOptions().config(layout).code_size < layout.width == width


def test_an_illegal_shape_is_refused_before_any_work() -> None:
    with pytest.raises(InvalidInput, match="code size 6 is not narrower than the 6 inputs"):
        fit(options=FitOptions(code_size=6))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
def test_a_gpu_fits_what_the_cpu_fits() -> None:
    body = {f"x{i}": {"kind": "numeric"} for i in range(WIDTH)} | {"kind": {"kind": "categorical"}}
    layout = Layout.of(parse_schema({"name": "t", "columns": body}, source="t"), Vocabulary((("a", "b"),)))

    def with_kinds(batch: Batch) -> Batch:
        return Batch(batch.numeric, (batch.numeric[:, :1] > 0).astype(np.int64) + 1, batch.time)

    held_out = [with_kinds(rows(1_000, seed, structured=seed == 1)) for seed in (1, 2)]
    areas = []
    for device in ("cpu", "cuda"):
        detector = fit_detector(with_kinds(rows(5_000, 0)), layout, OPTIONS, seed=0, device=device).detector
        assert {tensor.device.type for tensor in detector.state_dict().values()} == {"cpu"}
        errors = [run_torch(detector, batch)[0] for batch in held_out]
        graph = Graph(export_onnx(detector), threads=1)
        np.testing.assert_allclose(graph.run(held_out[0], "error")[0], errors[0], rtol=1e-6)
        areas.append(roc_auc_score(np.repeat([0, 1], 1_000), np.concatenate(errors)))
    assert min(areas) > 0.9
    assert abs(areas[0] - areas[1]) < 0.01
