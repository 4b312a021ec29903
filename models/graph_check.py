"""What an ONNX graph must be before it is run: arithmetic of standard operators on its inputs, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.errors import InvalidBundle
from models.manifest import DETECTOR, ERROR, EVIDENCE

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
_STANDARD_DOMAINS = {"", "ai.onnx"}
#: The one operator beyond them: a sum of decision trees.
TREES_DOMAIN, TREES = "ai.onnx.ml", "TreeEnsemble"
GRAPH_INPUTS = ("numeric", "categorical", "time")
GRAPH_OUTPUTS = (ERROR, "contributions", "expected", "code")


def check_graph(data: bytes, ranked_by: str = ERROR) -> None:
    """Refuse a graph that could do more than arithmetic on its inputs.

    Args:
        ranked_by: :data:`EVIDENCE` where it has a second opinion, and with it that output.

    Raises:
        InvalidBundle: not ONNX, external data, a non-standard operator domain, a non-finite weight, or other inputs
            and outputs than a detector has.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # noqa: BLE001 - protobuf raises its own, undocumented types
        raise InvalidBundle(DETECTOR, "onnx", f"not an ONNX model ({type(error).__name__})") from None
    if model.functions:
        raise InvalidBundle(DETECTOR, "operator domain", "local functions are not allowed")
    domains = {entry.domain for entry in model.opset_import}
    _check_nodes(model.graph, domains)
    if foreign := domains - _STANDARD_DOMAINS - {TREES_DOMAIN}:
        raise InvalidBundle(DETECTOR, "operator domain", f"{len(foreign)} non-standard operator domain(s)")
    if tuple(i.name for i in model.graph.input) != GRAPH_INPUTS:
        raise InvalidBundle(DETECTOR, "inputs", f"must be {', '.join(GRAPH_INPUTS)}")
    outputs = (*GRAPH_OUTPUTS, EVIDENCE) if ranked_by == EVIDENCE else GRAPH_OUTPUTS
    if tuple(o.name for o in model.graph.output) != outputs:
        raise InvalidBundle(DETECTOR, "outputs", f"must be {', '.join(outputs)}")


def _check_nodes(graph: onnx.GraphProto, domains: set[str]) -> None:
    _check_tensors(graph.initializer)
    if graph.sparse_initializer:
        raise InvalidBundle(DETECTOR, "weights", "sparse weights are not allowed")
    for node in graph.node:
        domains.add(node.domain)
        if node.domain == TREES_DOMAIN:
            _check_trees(node)
        for attribute in node.attribute:
            if not np.isfinite([attribute.f, *attribute.floats]).all():
                raise InvalidBundle(DETECTOR, "finite", "a constant is NaN or infinite")
            _check_tensors([*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors])
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _check_nodes(inner, domains)


def _check_trees(node: onnx.NodeProto) -> None:
    """Every branch leads down and ends: a child lies behind its parent, or is one of the leaves."""
    if node.op_type != TREES:
        raise InvalidBundle(DETECTOR, "operator domain", f"of {TREES_DOMAIN} only {TREES} is allowed")
    values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    try:
        nodes, leaves = len(values["nodes_featureids"]), len(values["leaf_targetids"])
        own = np.arange(nodes)
        good = min(values["tree_roots"]) >= 0 and max(values["tree_roots"]) < nodes
        for side in ("true", "false"):
            child = np.array(values[f"nodes_{side}nodeids"], dtype=np.int64)
            leaf = np.array(values[f"nodes_{side}leafs"], dtype=np.int64) == 1
            good &= bool(np.where(leaf, (child >= 0) & (child < leaves), (child > own) & (child < nodes)).all())
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise InvalidBundle(DETECTOR, "trees", "a branch leads nowhere or back")


def _check_tensors(tensors: Any) -> None:
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidBundle(DETECTOR, "external data", "weights outside the file are not allowed")
        if tensor.data_type in _FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise InvalidBundle(DETECTOR, "finite", "a weight is NaN or infinite")
