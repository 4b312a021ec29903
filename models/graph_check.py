"""What an ONNX graph must be before it is run: arithmetic of standard operators on its inputs, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from models.errors import InvalidBundle
from models.manifest import DETECTOR

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16)
_STANDARD_DOMAINS = {"", "ai.onnx"}
GRAPH_INPUTS = ("numeric", "categorical", "time")
GRAPH_OUTPUTS = ("error", "contributions", "expected", "code")


def check_graph(data: bytes) -> None:
    """Refuse a graph that could do more than arithmetic on its inputs.

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
    if foreign := domains - _STANDARD_DOMAINS:
        raise InvalidBundle(DETECTOR, "operator domain", f"{len(foreign)} non-standard operator domain(s)")
    if tuple(i.name for i in model.graph.input) != GRAPH_INPUTS:
        raise InvalidBundle(DETECTOR, "inputs", f"must be {', '.join(GRAPH_INPUTS)}")
    if tuple(o.name for o in model.graph.output) != GRAPH_OUTPUTS:
        raise InvalidBundle(DETECTOR, "outputs", f"must be {', '.join(GRAPH_OUTPUTS)}")


def _check_nodes(graph: onnx.GraphProto, domains: set[str]) -> None:
    _check_tensors(graph.initializer)
    if graph.sparse_initializer:
        raise InvalidBundle(DETECTOR, "weights", "sparse weights are not allowed")
    for node in graph.node:
        domains.add(node.domain)
        for attribute in node.attribute:
            if not np.isfinite([attribute.f, *attribute.floats]).all():
                raise InvalidBundle(DETECTOR, "finite", "a constant is NaN or infinite")
            _check_tensors([*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors])
            for inner in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                _check_nodes(inner, domains)


def _check_tensors(tensors: Any) -> None:
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise InvalidBundle(DETECTOR, "external data", "weights outside the file are not allowed")
        if tensor.data_type in _FLOATS and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise InvalidBundle(DETECTOR, "finite", "a weight is NaN or infinite")
