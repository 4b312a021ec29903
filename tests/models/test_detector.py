"""The detector's graph: ONNX Runtime gives what torch gives, contributions add up, a constant column stays quiet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from models.detector import FraudDetector, export_onnx, run_torch
from models.graph import Graph
from models.graph_check import GRAPH_INPUTS, GRAPH_OUTPUTS, check_graph
from models.normaliser import Layout
from models.rows import Batch, Vocabulary
from models.schema import parse_schema
from training.fit import FitOptions, fit_detector

OPTIONS = FitOptions(hidden=(16,), members=2, steps=80)
LAYOUT = Layout.of(
    parse_schema(
        {
            "name": "t",
            "columns": {
                "a": {"kind": "numeric"},
                "b": {"kind": "amount", "transform": "signed-log"},
                "constant": {"kind": "numeric"},
                "hole": {"kind": "numeric", "nullable": True},
                "kind": {"kind": "categorical"},
                "at": {"kind": "timestamp"},
            },
        },
        source="t",
    ),
    Vocabulary((("x", "y", "z"),)),
)


def sample(rows: int, seed: int) -> Batch:
    """Rows with structure: b and the hole follow a, the kind follows the hour."""
    random = np.random.default_rng(seed)
    a = random.normal(size=rows)
    hour = random.integers(0, 24, rows)
    numeric = np.column_stack(
        [
            a,
            np.exp(2 + a + 0.1 * random.normal(size=rows)),
            np.full(rows, 7.0),
            np.where(random.random(rows) < 0.2, np.nan, 3 * a + 0.1 * random.normal(size=rows)),
        ]
    )
    return Batch(numeric, (1 + hour // 8)[:, None], (random.integers(0, 30, rows) * 24 + hour) * 3_600_000_000)


@pytest.fixture(scope="module")
def detector() -> FraudDetector:
    return fit_detector(sample(1_500, 0), LAYOUT, OPTIONS, seed=0).detector


@pytest.fixture(scope="module")
def exported(detector: FraudDetector) -> bytes:
    return export_onnx(detector)


def errors(graph: Graph, batch: Batch) -> NDArray[np.float64]:
    return graph.run(batch, "error")[0]


@pytest.mark.parametrize("rows", [0, 1, 2, 3, 700])
def test_the_export_gives_what_torch_gives(detector: FraudDetector, exported: bytes, rows: int) -> None:
    batch = sample(rows, 1)
    batch.numeric[: rows // 2] *= 1e4
    for name, ours, theirs in zip(
        GRAPH_OUTPUTS, run_torch(detector, batch), Graph(exported).run(batch, *GRAPH_OUTPUTS), strict=True
    ):
        assert ours.shape == theirs.shape
        # Expected hours pass through a float32 arc tangent.
        rtol, atol = (1e-5, 1e-3) if name == "expected" else (1e-11, 1e-9)
        np.testing.assert_allclose(theirs, ours, rtol=rtol, atol=atol, err_msg=name)


def test_the_graph_passes_its_own_checks_and_says_nothing_of_this_machine(exported: bytes) -> None:
    check_graph(exported)
    model = onnx.load_model_from_string(exported)
    assert tuple(entry.name for entry in model.graph.input) == GRAPH_INPUTS
    assert (
        str(Path(__file__).parents[2]).encode() not in exported
        and b".py" not in exported
        and b"site-packages" not in exported
    )


def test_exporting_twice_gives_the_same_bytes(detector: FraudDetector, exported: bytes) -> None:
    assert export_onnx(detector) == exported


def test_contributions_sum_to_the_error_and_belong_to_the_feature(exported: bytes) -> None:
    batch = sample(200, 2)
    graph = Graph(exported)
    error, contributions = graph.run(batch, "error", "contributions")
    np.testing.assert_allclose(contributions.sum(1), error, rtol=1e-9)
    for feature in (0, 1, 3):
        odd = Batch(batch.numeric.copy(), batch.categorical, batch.time)
        odd.numeric[:, feature] = 1e4
        parts = graph.run(odd, "contributions")[0]
        assert (parts.argmax(1) == feature).mean() > 0.9


def test_a_tiny_change_of_a_constant_column_is_no_news(exported: bytes) -> None:
    batch, graph = sample(300, 3), Graph(exported)
    usual = errors(graph, batch)
    nudged = Batch(batch.numeric.copy(), batch.categorical, batch.time)
    nudged.numeric[:, 2] += 7e-4
    assert (np.abs(errors(graph, nudged) - usual) < 0.1 * np.median(usual)).all()
    nudged.numeric[:, 2] = 70.0
    assert (errors(graph, nudged) > np.quantile(usual, 0.99)).mean() > 0.95


def test_breaking_the_structure_raises_the_error(exported: bytes) -> None:
    batch, graph = sample(500, 4), Graph(exported)
    usual = errors(graph, batch)
    shuffled = Batch(batch.numeric.copy(), batch.categorical, batch.time)
    shuffled.numeric[:, 1] = np.random.default_rng(0).permutation(shuffled.numeric[:, 1])
    assert np.median(errors(graph, shuffled)) > 1.5 * np.median(usual)
    asleep = Batch(batch.numeric, batch.categorical, batch.time + 12 * 3_600_000_000)
    assert np.median(errors(graph, asleep)) > np.median(usual)


def test_euclidean_is_the_plain_loss() -> None:
    options = FitOptions(hidden=(8,), members=2, steps=20, error="euclidean")
    detector = fit_detector(sample(400, 5), LAYOUT, options, seed=0).detector
    batch = sample(50, 6)
    error = run_torch(detector, batch)[0]
    with torch.no_grad():
        normaliser = detector.normaliser
        dense = normaliser.prepare(torch.from_numpy(batch.numeric), torch.from_numpy(batch.time))
        x = normaliser.embed(dense, torch.from_numpy(batch.categorical), options.knots[0]).expand(2, -1, -1)
        plain = 0.5 * (x - detector.autoencoder(x)).square().sum(-1).mean(0).numpy()
    np.testing.assert_allclose(error, plain, rtol=1e-9)


@pytest.mark.parametrize("columns", [7, 9, *(pytest.param(columns, marks=pytest.mark.long) for columns in (6, 11))])
def test_a_row_scores_to_the_last_bit_as_in_a_batch_wherever_it_lies(columns: int) -> None:
    """An odd number of columns puts every other row off the boundaries of the processor's vectors."""
    schema = parse_schema({"name": "t", "columns": {f"c{i}": {"kind": "numeric"} for i in range(columns)}}, source="t")
    numeric = np.random.default_rng(0).normal(size=(400, columns)) @ np.eye(columns, k=1) + 1.0
    batch = Batch(numeric, np.empty((400, 0), np.int64), np.zeros(400, np.int64))
    layout = Layout.of(schema, Vocabulary(()))
    graph = Graph(
        export_onnx(fit_detector(batch, layout, FitOptions(hidden=(8,), members=1, steps=20), seed=0).detector)
    )
    whole = graph.run(batch, "error", "contributions")
    for size in (1, 3):
        parts = [graph.run(batch.take(slice(at, at + size)), "error", "contributions") for at in range(0, 400, size)]
        for output, together in enumerate(whole):
            np.testing.assert_array_equal(np.concatenate([part[output] for part in parts]), together)
