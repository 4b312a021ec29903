"""The graph in NumPy: what ONNX Runtime says but for the last digits, whatever stands around a row."""

from __future__ import annotations

import numpy as np
import onnx
import polars as pl
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.array_graph import BLOCK_ROWS, ArrayGraph, UnknownOperator
from models.graph import Graph, part_of
from models.manifest import ERROR
from models.parsing import parse_rows
from models.rows import Batch
from models.scorer import Scorer

OUTPUTS = (ERROR, "contributions")


@pytest.fixture(scope="module")
def batch(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> Batch:
    """Some payments, with an account age that is missing in every seventh."""
    return parse_rows(tiny_scorer.schema, tiny_frame).batch(tiny_scorer.vocabulary)


@pytest.fixture(scope="module")
def graph(tiny_scorer: Scorer) -> ArrayGraph:
    """The tiny model's."""
    return ArrayGraph(part_of(tiny_scorer.bundle.detector, frozenset(OUTPUTS)))


def test_it_says_what_onnx_runtime_says(tiny_scorer: Scorer, graph: ArrayGraph, batch: Batch) -> None:
    assert sorted(graph.outputs) == sorted(OUTPUTS)
    for expected, found in zip(tiny_scorer.graph.run(batch, *graph.outputs), graph.run(batch), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_rows_digits_do_not_depend_on_those_that_follow(graph: ArrayGraph, batch: Batch) -> None:
    whole = graph.run(batch)
    for rows in (0, 1, BLOCK_ROWS - 1, BLOCK_ROWS + 3):
        for expected, found in zip(whole, graph.run(batch.take(slice(0, rows))), strict=True):
            np.testing.assert_array_equal(found, expected[:rows])


def made_of(nodes: list[onnx.NodeProto], constants: dict[str, NDArray[np.float64]] | None = None) -> bytes:
    """A graph of numbers alone: [n, 3] to the error."""
    double, whole = TensorProto.DOUBLE, TensorProto.INT64
    put = helper.make_tensor_value_info
    inputs = [put("numeric", double, ["n", 3]), put("categorical", whole, ["n", 0]), put("time", whole, ["n"])]
    weights = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    made = helper.make_graph(nodes, "g", inputs, [put("error", double, ["n", None])], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("width", [1, 7, 8])
def test_rows_are_mixed_by_softmax(width: int) -> None:
    random = np.random.default_rng(0)
    keys, slots = random.normal(size=(3, 20)) * 30, random.normal(size=(20, width))
    far = random.normal(size=(50, 3)) * np.exp(random.normal(size=(50, 3)) * 3)
    batch = Batch(far, np.empty((50, 0), np.int64), np.zeros(50, np.int64))
    nodes = [
        helper.make_node("MatMul", ["numeric", "keys"], ["x"]),
        helper.make_node("Softmax", ["x"], ["weights"], axis=1),
        helper.make_node("MatMul", ["weights", "slots"], ["error"]),
    ]
    graph = made_of(nodes, {"keys": keys, "slots": slots})
    [found] = ArrayGraph(graph).run(batch)
    np.testing.assert_allclose(found, Graph(graph).run(batch, "error")[0], rtol=1e-12, atol=1e-12)
    alone = made_of([nodes[0], helper.make_node("Softmax", ["x"], ["error"])], {"keys": keys})
    np.testing.assert_allclose(ArrayGraph(alone).run(batch)[0], Graph(alone).run(batch, "error")[0], atol=1e-14)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Erf", ["numeric"], ["error"]),
        helper.make_node("Min", ["numeric", "numeric", "numeric"], ["error"]),
        helper.make_node("TreeEnsemble", ["numeric"], ["error"], domain="ai.onnx.ml"),
    ],
)
def test_what_is_not_known_here_is_left_to_onnx_runtime(node: onnx.NodeProto) -> None:
    with pytest.raises(UnknownOperator, match=node.op_type):
        ArrayGraph(made_of([node]))
