"""GraphWriter: an ONNX graph put together node by node, without what is there already or is not needed in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from models.graph_check import TREES_DOMAIN

#: Versions of the operators, and of the file's form.
OPSET, TREES_OPSET, IR_VERSION = 20, 5, 10
#: The name of the one dimension that is free.
ROWS = "rows"


class GraphWriter:
    """Collects nodes and constants, each once; :meth:`model` is what the outputs need of them."""

    def __init__(self) -> None:
        self._constants: dict[str, onnx.TensorProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self._known: dict[object, str] = {}

    def constant(self, array: NDArray[Any]) -> str:
        """The name of a constant of these values."""
        array = np.asarray(array)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._known:
            self._known[key] = name = f"constant_{len(self._constants)}"
            self._constants[name] = numpy_helper.from_array(array, name)
        return self._known[key]

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of what an operator makes of its inputs, which are names."""
        node = helper.make_node(operator, inputs, [], domain=domain, **attributes)
        key = node.SerializeToString(deterministic=True)
        if key not in self._known:
            self._known[key] = name = f"{operator.lower()}_{len(self._nodes)}"
            node.output.append(name)
            self._nodes.append(node)
        return self._known[key]

    def model(self, inputs: Mapping[str, NDArray[Any]], outputs: Mapping[str, tuple[str, NDArray[Any]]]) -> bytes:
        """The graph of these inputs and outputs: an example of each for type and shape; of an output its name so far.

        The number of rows, the first of each shape, is free. The same calls give the same bytes.
        """
        ends = [helper.make_node("Identity", [value], [name]) for name, (value, _) in outputs.items()]
        needed, kept = set(outputs), []
        for node in reversed([*self._nodes, *ends]):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        graph = helper.make_graph(
            _without_identities(kept[::-1]),
            "detector",
            [_value(name, example) for name, example in inputs.items()],
            [_value(name, example) for name, (_, example) in outputs.items()],
            [tensor for name, tensor in self._constants.items() if name in needed],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == TREES_DOMAIN for node in graph.node):
            opsets.append(helper.make_opsetid(TREES_DOMAIN, TREES_OPSET))
        model = helper.make_model(graph, opset_imports=opsets, producer_name="counterfoil")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))


def _without_identities(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes, the last of which name outputs: what makes an output bears its name itself, where it can."""
    makers = {node.output[0]: node for node in nodes}
    names: dict[str, str] = {}
    for node in nodes:
        if node.op_type == "Identity" and node.input[0] in makers:
            names.setdefault(node.input[0], node.output[0])
    kept = [node for node in nodes if node.op_type != "Identity" or names.get(node.input[0]) != node.output[0]]
    for node in kept:
        for part in (node.input, node.output):
            part[:] = [names.get(name, name) for name in part]
    return kept


def _value(name: str, example: NDArray[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(
        name, helper.np_dtype_to_tensor_dtype(example.dtype), [ROWS, *example.shape[1:]]
    )
