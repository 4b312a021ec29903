"""Tail probabilities of single features: fitted as defined, in the graph as in torch, and worth their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from models.detector import export_onnx, run_torch
from models.graph import Graph
from models.normaliser import Layout
from models.rows import Batch
from models.singles import Singles
from training.fit import FitOptions, FitResult, fit_detector
from training.singles import bend

OPTIONS = FitOptions(hidden=(16,), members=2, steps=60, singles_rows=1_000)
WIDTH = 12
#: Four views of each of two things, and four columns for themselves.
CAUSES = (0, 0, 0, 0, 1, 1, 1, 1, 2, 3, 4, 5)
LAYOUT = Layout(WIDTH, (False,) * WIDTH, (), (), (), alike=CAUSES)


def rows(count: int, seed: int) -> Batch:
    random = np.random.default_rng(seed)
    things = random.standard_t(5, size=(count, 6))
    numeric = things[:, CAUSES] + 0.3 * random.normal(size=(count, WIDTH))
    return Batch(numeric, np.empty((count, 0), np.int64), np.zeros(count, np.int64))


@pytest.fixture(scope="module")
def result() -> FitResult:
    return fit_detector(rows(3_000, 0), LAYOUT, OPTIONS, seed=0)


@pytest.mark.parametrize("first", [1.0, 0.2])
def test_a_function_says_how_rare_a_value_is(first: float) -> None:
    values = np.random.default_rng(0).exponential(size=40_000)
    singles = Singles(1, 16)
    bend(singles, 0, values, first, 1e-3)
    v = np.array([0.0, 0.5, 2.0, 5.0, 9.0, 20.0])
    found = singles.odd(torch.from_numpy(v)[:, None])[:, 0].numpy()
    # Of an exponential, -log p(v) = v.
    np.testing.assert_allclose(found, np.maximum(v + np.log(first), 0), rtol=0.15, atol=0.15)


def test_values_that_are_nearly_all_one_have_a_function_too() -> None:
    singles = Singles(1, 9)
    bend(singles, 0, np.repeat([0.0, 1.0], [2_960, 40]), 0.2, 1e-3)
    assert singles.knot[:2, 0].tolist() == [0.0, 1.0]
    at_one = float(singles.odd(torch.ones(1, 1).double()))
    assert at_one == pytest.approx(np.log(0.2 / (41 / 3_001)))
    beyond = float(singles.odd(torch.full((1, 1), 2.0).double())) - at_one
    assert 0 < beyond <= 1 / 0.05


def test_a_value_that_never_changed_is_no_news_until_it_changes_by_more_than_its_resolution() -> None:
    singles = Singles(1, 3)
    bend(singles, 0, np.full(3_000, 0.7), 0.05, 1e-3)
    found = singles.odd(torch.tensor([[0.0], [0.7], [0.7001], [0.71]], dtype=torch.float64))[:, 0]
    assert found.tolist() == pytest.approx([0, 0, 0.1, 10])


def test_only_named_causes_of_enough_rows_count_by_themselves() -> None:
    few = replace(OPTIONS, steps=2, singles_rows=1_001)
    assert fit_detector(rows(1_000, 0), LAYOUT, few, seed=0).detector.singles is None
    anonymous = replace(LAYOUT, alike=())
    assert fit_detector(rows(1_000, 0), anonymous, replace(OPTIONS, steps=2), seed=0).detector.singles is None


def test_the_graph_gives_what_torch_gives_and_the_parts_sum(result: FitResult) -> None:
    batch = rows(50, 1)
    batch.numeric[:20] *= np.geomspace(1, 1e6, 20)[:, None]
    batch.numeric[20, 3] = 1e12
    error, parts, *_ = run_torch(result.detector, batch)
    graph = Graph(export_onnx(result.detector))
    found = graph.run(batch, "error", "contributions")
    np.testing.assert_allclose(found[0], error, rtol=1e-9)
    np.testing.assert_allclose(found[1], parts, rtol=1e-7, atol=1e-9 * error.max())
    np.testing.assert_allclose(found[1].sum(1), found[0], rtol=1e-12)
    for row in (0, 19, 20, 33):
        alone = graph.run(batch.take(slice(row, row + 1)), "error")[0]
        assert alone[0] == found[0][row]  # to the bit


def test_an_error_never_falls_and_stays_where_nothing_is_odd(result: FitResult) -> None:
    batch = rows(400, 2)
    batch.numeric[:2] = 0.0  # the middle of everything
    whole = run_torch(result.detector, batch)[0]
    singles, result.detector.singles = result.detector.singles, None
    plain = run_torch(result.detector, batch)[0]
    result.detector.singles = singles
    assert (whole >= plain).all()
    np.testing.assert_array_equal(whole[:2], plain[:2])
    assert (whole > plain).mean() > 0.5


def test_what_is_odd_in_one_thing_is_found_better(result: FitResult) -> None:
    batch = rows(4_000, 3)
    random = np.random.default_rng(4)
    for row in range(60):
        cause = random.integers(6)
        batch.numeric[row, np.array(CAUSES) == cause] += random.choice([-1, 1]) * random.uniform(3, 6)
    odd = np.arange(4_000) < 60
    whole = run_torch(result.detector, batch)[0]
    singles, result.detector.singles = result.detector.singles, None
    plain = run_torch(result.detector, batch)[0]
    result.detector.singles = singles
    assert average_precision_score(odd, whole) > average_precision_score(odd, plain)
