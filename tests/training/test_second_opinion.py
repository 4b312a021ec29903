"""A second opinion: trees as scikit-learn grew them, one budget for both opinions, a gate, labels that are unknown."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from sklearn.ensemble import HistGradientBoostingClassifier

from models.detector import FraudDetector, export_onnx, run_torch
from models.errors import InvalidBundle, InvalidInput
from models.graph import Graph
from models.graph_check import TREES, TREES_DOMAIN, check_graph
from models.manifest import ERROR, EVIDENCE
from models.normaliser import Layout
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from training.fit import FitOptions, fit_detector
from training.second_opinion import MIN_FRAUD, add_second_opinion, as_trees, fit_second_opinion

OPTIONS = FitOptions(hidden=(8,), members=2, steps=40)
#: Six numbers, one of them compressed and one that may be missing; the hour; a category of three values.
LAYOUT = Layout(6, (True, *(False,) * 5), (3,), ((86_400_000_000, 0),), (3,))


@dataclass(frozen=True)
class Part:
    batch: Batch
    label: NDArray[np.int8]


def part(count: int, seed: int) -> Part:
    """A tenth is fraud: of its first kind two numbers are a little high together; its second is far out in one."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(count, 6))
    label = (random.random(count) < 0.1).astype(np.int8)
    fraud = np.flatnonzero(label)
    numeric[fraud[::2], :2] += 1.8
    numeric[fraud[1::2], 4] += 7
    numeric[::7, 3] = np.nan
    batch = Batch(numeric, random.integers(0, 4, (count, 1)), np.arange(count) * 10**9)
    return Part(batch, label)


@pytest.fixture(scope="module")
def train() -> Part:
    return part(1_500, 0)


@pytest.fixture(scope="module")
def fitted(train: Part) -> FraudDetector:
    """Without a second opinion: :func:`deepcopy` it before it gets one."""
    legitimate = train.batch.take(train.label != FRAUD)
    return fit_detector(legitimate, LAYOUT, OPTIONS, seed=0).detector


@pytest.fixture(scope="module")
def taught(train: Part, fitted: FraudDetector) -> FraudDetector:
    taught = deepcopy(fitted)
    fit_second_opinion(taught, train.batch, train.label, 0.3, 0)
    return taught


@pytest.fixture(scope="module")
def exported(taught: FraudDetector) -> bytes:
    return export_onnx(taught)


@pytest.mark.parametrize("leaves", [2, 31])
def test_trees_say_what_scikit_learn_says_also_at_the_thresholds(leaves: int) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(3_000, 8))
    y = x[:, 0] * x[:, 1] + x[:, 2] > 1.5
    model = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=leaves).fit(x, y)
    found_trees = as_trees(model)
    assert found_trees is not None
    trees, constant, lowest = found_trees
    rows = random.normal(size=(2_000, 8))
    nodes = np.concatenate([predictor.nodes for (predictor,) in model._predictors])
    nodes = nodes[nodes["is_leaf"] == 0][:1_500]
    rows[np.arange(len(nodes)), nodes["feature_idx"]] = nodes["num_threshold"]
    expected = model.decision_function(rows)
    found = trees(torch.from_numpy(rows))[:, 0].numpy() + constant
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert lowest + constant <= expected.min() + 1e-12
    graph = onnx_trees(trees)
    np.testing.assert_allclose(graph(rows) + constant, expected, atol=1e-12)
    one_by_one = np.concatenate([graph(rows[[i]]) for i in range(50)])
    np.testing.assert_array_equal(one_by_one, graph(rows)[:50])


def onnx_trees(trees: Any) -> Any:
    """The trees alone as a function in ONNX Runtime."""
    import onnxruntime

    double = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", None]) for name in "xy"]
    node = helper.make_node(TREES, ["x"], ["y"], domain=TREES_DOMAIN, **trees.attributes())
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(TREES_DOMAIN, 5)]
    model = helper.make_model(helper.make_graph([node], "g", double[:1], double[1:]), opset_imports=opsets)
    model.ir_version = 10
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # as models.scorer.Graph: several would add up the trees in another order
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"x": rows})[0][:, 0]


def test_the_graph_gives_what_torch_gives_and_the_first_opinion_is_untouched(
    fitted: FraudDetector, taught: FraudDetector, exported: bytes
) -> None:
    batch = part(300, 1).batch
    graph = Graph(exported)
    for rows in (batch, batch.take(slice(7, 8))):
        expected = run_torch(taught, rows)
        for name, ours in zip((ERROR, "contributions"), expected, strict=False):
            np.testing.assert_allclose(graph.run(rows, name)[0], ours, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(graph.run(rows, EVIDENCE)[0], expected[-1], rtol=1e-9, atol=1e-9)
    whole = graph.run(batch, EVIDENCE)[0]
    assert graph.run(batch.take(slice(7, 8)), EVIDENCE)[0][0] == whole[7]  # to the bit
    alone = Graph(export_onnx(fitted))
    np.testing.assert_array_equal(graph.run(batch, ERROR)[0], alone.run(batch, ERROR)[0])


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_of_any_budget_the_novel_has_its_share(train: Part, fitted: FraudDetector, share: float) -> None:
    later = part(10_000, 8)
    legitimate = later.batch.take(later.label == LEGITIMATE)
    both = deepcopy(fitted)
    fit_second_opinion(both, train.batch, train.label, share, 0)
    error, *_, evidence = run_torch(both, legitimate)
    for budget in (0.03, 0.1):
        alerts = evidence >= np.quantile(evidence, 1 - budget)
        novel = np.argsort(-error)[: int(share * budget * len(error))]
        # What the first opinion would alert with its share is alerted, give or take what 1,350 rows can say of a tail.
        assert alerts[novel[: len(novel) * 2 // 3]].all()
        more = np.argsort(-error)[: int(budget * len(error))]
        assert not alerts[more].all()


def test_what_was_labelled_is_found_and_what_was_not_is_not_lost(taught: FraudDetector) -> None:
    later = part(3_000, 2)
    error, *_, evidence = run_torch(taught, later.batch)
    fraud = np.flatnonzero(later.label)
    known = fraud[::2]

    def recall(rank: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
        return float((rank[rows] >= np.quantile(rank[later.label == LEGITIMATE], 0.95)).mean())

    assert recall(evidence, known) > recall(error, known) + 0.2
    novel = part(300, 3).batch
    novel.numeric[:, 5] += 9
    threshold = np.quantile(evidence[later.label == LEGITIMATE], 0.95)
    assert (run_torch(taught, novel)[-1] >= threshold).mean() > 0.9


def test_rows_of_unknown_label_are_not_looked_at(train: Part, fitted: FraudDetector) -> None:
    label = train.label.copy()
    label[1::3] = UNKNOWN
    strange = Batch(train.batch.numeric.copy(), train.batch.categorical, train.batch.time)
    strange.numeric[1::3] *= 50
    both = deepcopy(fitted)
    found = []
    for batch in (train.batch, strange):
        fit_second_opinion(both, batch, label, 0.3, 0)
        found.append(run_torch(both, part(200, 4).batch)[-1])
    np.testing.assert_array_equal(found[0], found[1])


def test_the_gate_lets_pass_what_is_better_later_on(train: Part, fitted: FraudDetector) -> None:
    both = deepcopy(fitted)
    later = part(1_000, 5)
    record = add_second_opinion(both, (train.batch, train.label), (later.batch, later.label), share=0.3, seed=0)
    assert record.used and both.second is not None
    assert record.both > record.first
    assert (record.gate_rows, record.gate_fraud) == (1_000, int(later.label.sum()))


def test_the_gate_refuses_labels_that_say_nothing(train: Part, fitted: FraudDetector) -> None:
    both = deepcopy(fitted)
    later = part(1_000, 5)
    shuffled = np.random.default_rng(0).permutation(train.label)
    record = add_second_opinion(both, (train.batch, shuffled), (later.batch, later.label), share=0.3, seed=0)
    assert not record.used and both.second is None
    assert record.both <= record.first
    assert "not better" in record.why


@pytest.mark.parametrize("where", ["train", "later"])
def test_too_few_labels_are_not_used(train: Part, fitted: FraudDetector, where: str) -> None:
    later = part(1_000, 5)
    few = {"train": train.label.copy(), "later": later.label.copy()}
    few[where][np.flatnonzero(few[where] == FRAUD)[3:]] = UNKNOWN
    both = deepcopy(fitted)
    record = add_second_opinion(both, (train.batch, few["train"]), (later.batch, few["later"]), share=0.3, seed=0)
    assert not record.used and both.second is None
    assert "3 labelled fraud" in record.why and (where == "later" or str(MIN_FRAUD) in record.why)


def test_features_that_say_nothing_are_told(train: Part, fitted: FraudDetector) -> None:
    both = deepcopy(fitted)
    flat = Batch(np.zeros((1_500, 6)), np.zeros((1_500, 1), np.int64), np.zeros(1_500, np.int64))
    record = add_second_opinion(both, (flat, train.label), (train.batch, train.label), share=0.3, seed=0)
    assert not record.used and both.second is None and "say nothing" in record.why


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_is_between_0_and_1(train: Part, fitted: FraudDetector, share: float) -> None:
    both = deepcopy(fitted)
    with pytest.raises(InvalidInput, match="novel share"):
        add_second_opinion(both, (train.batch, train.label), (train.batch, train.label), share=share, seed=0)


def test_the_bundles_check_allows_trees_that_end_and_nothing_else_of_their_domain(exported: bytes) -> None:
    check_graph(exported, EVIDENCE)
    with pytest.raises(InvalidBundle, match="outputs"):
        check_graph(exported, ERROR)
    for change, check in ((loop, "trees"), (nowhere, "trees"), (no_leaves, "trees"), (other, "operator domain")):
        model = onnx.load_model_from_string(exported)
        (node,) = (node for node in model.graph.node if node.domain == TREES_DOMAIN)
        change(node)
        with pytest.raises(InvalidBundle, match=check):
            check_graph(model.SerializeToString(), EVIDENCE)


def attribute(node: onnx.NodeProto, name: str) -> onnx.AttributeProto:
    found: onnx.AttributeProto = next(attribute for attribute in node.attribute if attribute.name == name)
    return found


def loop(node: onnx.NodeProto) -> None:
    attribute(node, "nodes_trueleafs").ints[1] = 0
    attribute(node, "nodes_truenodeids").ints[1] = 0


def nowhere(node: onnx.NodeProto) -> None:
    attribute(node, "nodes_falseleafs").ints[0] = 1
    attribute(node, "nodes_falsenodeids").ints[0] = 10**6


def no_leaves(node: onnx.NodeProto) -> None:
    node.attribute.remove(attribute(node, "leaf_targetids"))


def other(node: onnx.NodeProto) -> None:
    node.op_type = "TreeEnsembleRegressor"
