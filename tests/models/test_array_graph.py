"""The graph in NumPy: what ONNX Runtime says but for the last digits, whatever stands around a row."""

from __future__ import annotations

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper

from models.array_graph import BLOCK_ROWS, ArrayGraph, UnknownOperator
from models.graph import part_of
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


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Erf", ["numeric"], ["error"]),
        helper.make_node("Min", ["numeric", "numeric", "numeric"], ["error"]),
        helper.make_node("TreeEnsemble", ["numeric"], ["error"], domain="ai.onnx.ml"),
    ],
)
def test_what_is_not_known_here_is_left_to_onnx_runtime(node: onnx.NodeProto) -> None:
    double, whole = TensorProto.DOUBLE, TensorProto.INT64
    put = helper.make_tensor_value_info
    inputs = [put("numeric", double, ["n", 2]), put("categorical", whole, ["n", 0]), put("time", whole, ["n"])]
    made = helper.make_graph([node], "g", inputs, [put("error", double, ["n", 2])])
    with pytest.raises(UnknownOperator, match=node.op_type):
        ArrayGraph(helper.make_model(made).SerializeToString())
