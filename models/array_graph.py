"""ArrayGraph: an exported detector computed by NumPy, whose float64 is vectorised: for many rows at a time.

ONNX Runtime computes tanh and softmax of float64 one number after the other, NumPy eight at a time, and its matrix
products come from OpenBLAS. One row alone is ONNX Runtime's: here each operator costs a microsecond to begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from models.graph_check import GRAPH_INPUTS
from models.rows import Batch

#: Rows at a time, the last ones filled up: what a row's digits are then does not depend on how many follow it, and what
#: lies between two operators stays in the processor's cache.
BLOCK_ROWS = 256
Array = NDArray[Any]
_Operator = Callable[..., Array]


class UnknownOperator(Exception):
    """The graph holds an operator that is not computed here."""


def _softmax(x: Array, axis: int = -1, out: Array | None = None) -> Array:
    x = np.subtract(x, x.max(axis, keepdims=True), out=out)
    np.exp(x, out=x)
    x /= x.sum(axis, keepdims=True)
    return x


def _weights(x: Array, out: Array | None = None) -> Array:
    """What a softmax over the columns of rows divides by its sum."""
    if x.ndim != 2:
        raise UnknownOperator("Softmax of more than rows")
    x = np.subtract(x, x.max(1, keepdims=True), out=out)
    return np.exp(x, out=x)


def _share(sums: Array, width: int) -> Array:
    """The first columns, divided by the one behind them."""
    return np.asarray(sums[:, :width] / sums[:, width : width + 1])


def _reduced(reduce: Any, x: Array, axes: Array, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Array:
    return np.asarray(reduce(x, axis=tuple(axes.tolist()), keepdims=bool(keepdims)))


def _unsqueeze(x: Array, axes: Array) -> Array:
    return np.expand_dims(x, tuple(axes.tolist()))


def _squeeze(x: Array, axes: Array) -> Array:
    return np.squeeze(x, tuple(axes.tolist()))


def _transpose(x: Array, perm: list[int]) -> Array:
    return np.transpose(x, perm)


def _clip(x: Array, least: Array, most: Array, out: Array | None = None) -> Array:
    return np.clip(x, least, most, out=out)


def _concat(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis)


def _gather(x: Array, places: Array, axis: int = 0) -> Array:
    return np.take(x, places, axis)


def _gather_nd(x: Array, places: Array, batch_dims: int = 0) -> Array:
    if batch_dims:
        raise UnknownOperator("GatherND within batches")
    return np.asarray(x[tuple(np.moveaxis(places, -1, 0))])


def _cast(x: Array, to: int) -> Array:
    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(to))


def _reshape(x: Array, shape: Array, allowzero: int = 0) -> Array:
    return x.reshape([size or x.shape[i] for i, size in enumerate(shape.tolist())])


def _expand(x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def _mod(x: Array, y: Array, fmod: int = 0) -> Array:
    return np.fmod(x, y) if fmod else np.mod(x, y)


#: Operators that can write their result over what they are given.
_OVERWRITING: dict[str, _Operator] = {
    "Abs": np.abs,
    "Add": np.add,
    "Clip": _clip,
    "Div": np.divide,
    "Exp": np.exp,
    "Log": np.log,
    "Max": np.maximum,
    "Min": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Relu": partial(np.maximum, 0.0),
    "Sign": np.sign,
    "Sin": np.sin,
    "Softmax": _softmax,
    "Sqrt": np.sqrt,
    "Sub": np.subtract,
    "Tanh": np.tanh,
    "Weights": _weights,
}
#: Operators that give an array of their own.
_OTHERS: dict[str, _Operator] = {
    "Cast": _cast,
    "Concat": _concat,
    "Gather": _gather,
    "GatherND": _gather_nd,
    "IsNaN": np.isnan,
    "MatMul": np.matmul,
    "Mod": _mod,
    "Share": _share,
    "ReduceMax": partial(_reduced, np.max),
    "ReduceMean": partial(_reduced, np.mean),
    "ReduceSum": partial(_reduced, np.sum),
    "Where": np.where,
}
#: Operators whose result may be the very memory of what they are given.
_SHARING: dict[str, _Operator] = {
    "Expand": _expand,
    "Identity": lambda x: x,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}


@dataclass(frozen=True)
class _Step:
    """One operator: what it takes, the buffer that it writes to if any, and what nobody needs after it."""

    name: str
    operator: _Operator
    takes: tuple[str, ...]
    buffer: int | None
    done: tuple[str, ...]


class ArrayGraph:
    """What an exported detector says of many rows. Thread-safe; one run takes one thread.

    Args:
        graph: bytes of the ONNX graph; all of its outputs are computed.

    Attributes:
        outputs: their names.

    Raises:
        UnknownOperator: an operator is not known here; leave the graph to ONNX Runtime.
    """

    def __init__(self, graph: bytes) -> None:
        model = onnx.load_model_from_string(graph)
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self.outputs = [output.name for output in model.graph.output]
        self._steps = self._planned(self._with_mixtures(list(model.graph.node)), _widths(model))

    def run(self, batch: Batch) -> list[NDArray[np.float64]]:
        """The graph's outputs for a batch of any size, in their order."""
        # Memory that is asked for and given back with each block would be cleared by the kernel each time.
        buffers = [np.empty(shape, kind) for shape, kind in self._buffers]
        starts = range(0, max(len(batch), 1), BLOCK_ROWS)
        parts = [self._block(batch.take(slice(at, at + BLOCK_ROWS)), buffers) for at in starts]
        return [np.concatenate(columns)[: len(batch)] for columns in zip(*parts, strict=True)]

    def _block(self, block: Batch, buffers: list[Array]) -> list[Array]:
        rows = len(block)
        if rows < BLOCK_ROWS:
            block = Batch(*(_filled_up(part, rows) for part in (block.numeric, block.categorical, block.time)))
        values = self._constants | {"numeric": block.numeric, "categorical": block.categorical, "time": block.time}
        with np.errstate(all="ignore"):
            for step in self._steps:
                taken = [values[name] for name in step.takes]
                if step.buffer is None:
                    values[step.name] = step.operator(*taken)
                else:
                    values[step.name] = step.operator(*taken, out=buffers[step.buffer])
                for name in step.done:
                    del values[name]
        return [values[name][:rows].copy() for name in self.outputs]

    def _with_mixtures(self, nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
        """The nodes, but that a softmax which only weighs constant rows is divided by its sums behind the product.

        The sums are a column of the product: of rows with a one behind each.
        """
        uses = Counter(name for node in nodes for name in node.input)
        uses.update(self.outputs)
        made = {node.output[0]: node for node in nodes if _of_columns(node) and uses[node.output[0]] == 1}
        found = []
        for node in nodes:
            softmax = made.get(node.input[0]) if node.op_type == "MatMul" else None
            rows = self._constants.get(node.input[1]) if softmax else None
            if softmax is None or rows is None or rows.ndim != 2:
                found.append(node)
                continue
            # In columns of a multiple of eight: the product of others takes half as long again.
            wide = np.zeros((len(rows), -(-(rows.shape[1] + 1) // 8) * 8), rows.dtype)
            wide[:, : rows.shape[1]], wide[:, rows.shape[1]] = rows, 1.0
            self._constants[name := f"{node.input[1]} and ones"] = wide
            found.remove(softmax)
            weights, sums = f"{softmax.output[0]} undivided", f"{node.output[0]} undivided"
            found.append(onnx.helper.make_node("Weights", softmax.input[:1], [weights]))
            found.append(onnx.helper.make_node("MatMul", [weights, name], [sums]))
            found.append(onnx.helper.make_node("Share", [sums], node.output, width=rows.shape[1]))
        return found

    def _planned(self, nodes: list[onnx.NodeProto], widths: tuple[int, int]) -> list[_Step]:
        """The steps, tried out on rows of zeros to see of which form each result is, and so which buffer it fits."""
        shapes = (BLOCK_ROWS, widths[0]), (BLOCK_ROWS, widths[1]), (BLOCK_ROWS,)
        kinds = (np.float64, np.int64, np.int64)
        values: dict[str, Array] = {
            **self._constants,
            **dict(zip(GRAPH_INPUTS, map(np.zeros, shapes, kinds), strict=True)),
        }
        uses = Counter(name for node in nodes for name in node.input)
        uses.update(self.outputs)
        #: Whose memory others may look at, too: it is never written to again.
        shared = {name for node in nodes if node.op_type in _SHARING for name in (*node.input, *node.output)}
        self._buffers: list[tuple[tuple[int, ...], np.dtype[Any]]] = []
        held: dict[str, int] = {}
        free: list[int] = []
        steps = []
        for node in nodes:
            taken, [name] = tuple(node.input), node.output
            operator = _operator(node)
            with np.errstate(all="ignore"):
                values[name] = operator(*(values[one] for one in taken))
            form = values[name].shape, values[name].dtype
            uses.subtract(taken)
            done = [one for one in dict.fromkeys(taken) if not uses[one] and one not in self._constants]
            given_back = [held[one] for one in done if one in held and one not in shared]
            buffer = None
            if node.op_type in _OVERWRITING or node.op_type == "MatMul":
                over = given_back if node.op_type in _OVERWRITING else []
                buffer = next((one for one in (*over, *free) if self._buffers[one] == form), len(self._buffers))
                if buffer == len(self._buffers):
                    self._buffers.append(form)
                held[name] = buffer
            free = [one for one in dict.fromkeys((*free, *given_back)) if one != buffer]
            steps.append(_Step(name, operator, taken, buffer, tuple(done)))
        return steps


def _of_columns(node: onnx.NodeProto) -> bool:
    """Whether it is a softmax over the columns of rows."""
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    return node.op_type == "Softmax" and attributes.get("axis", -1) in (-1, 1)


def _widths(model: onnx.ModelProto) -> tuple[int, int]:
    """Of the inputs ``numeric`` and ``categorical``."""
    numeric, categorical = (put.type.tensor_type.shape.dim[1].dim_value for put in model.graph.input[:2])
    return numeric, categorical


def _operator(node: onnx.NodeProto) -> _Operator:
    known = None if node.domain else {**_OVERWRITING, **_OTHERS, **_SHARING}.get(node.op_type)
    variadic = node.op_type in ("Max", "Min") and len(node.input) != 2
    if known is None or variadic or len(node.output) != 1 or "" in node.input:
        raise UnknownOperator(node.op_type)
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    return partial(known, **attributes) if attributes else known


def _filled_up(rows: Array, count: int) -> Array:
    filled = np.zeros((BLOCK_ROWS, *rows.shape[1:]), rows.dtype)
    filled[:count] = rows
    return filled
