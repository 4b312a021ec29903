"""Write a torch module as an ONNX graph: it computes a few rows while each torch function is noted as ONNX operators.

What depends on buffers and parameters alone is no node: torch computes it on the way, and the graph has its value as a
constant. Functions that depend on the inputs must be in :data:`_OPERATORS`. Imported by ``training`` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.graph_check import TREES, TREES_DOMAIN
from models.graph_writer import GraphWriter
from models.trees import Trees

_KINDS = {
    torch.bool: TensorProto.BOOL,
    torch.int64: TensorProto.INT64,
    torch.float32: TensorProto.FLOAT,
    torch.float64: TensorProto.DOUBLE,
}
#: What can be asked of a tensor without computing with it.
_PROPERTIES = {"device", "dim", "dtype", "ndim", "shape"}


class CannotExport(Exception):
    """A module does with its inputs what no graph here does."""


def export(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    """A module as an ONNX graph with a free number of rows; the same weights give the same bytes.

    Args:
        module: called with the inputs; returns a tuple of tensors [rows, ...], one for each output.
        inputs: an example of each, [3 or more rows, ...].

    Raises:
        CannotExport: naming the function that has no counterpart; or what is computed depends on the number of rows.
    """
    fewer = {name: example[:-1] for name, example in inputs.items()}
    graph = _traced(module, inputs, outputs)
    if graph != _traced(module, fewer, outputs):
        raise CannotExport("the number of rows would be a constant of the graph; use -1, as in reshape(-1, width)")
    return graph


def _traced(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> bytes:
    recorder = Recorder(inputs)
    with torch.no_grad(), recorder:
        results = module(*inputs.values())
    return recorder.graph.model(
        {name: example.numpy() for name, example in inputs.items()},
        {name: (recorder.name(result), result.numpy()) for name, result in zip(outputs, results, strict=True)},
    )


class Recorder(TorchFunctionMode):
    """Notes what is computed of tensors while it is entered.

    Args:
        inputs: by their names in the graph.

    Attributes:
        graph: where it is noted.
    """

    def __init__(self, inputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.graph = GraphWriter()
        #: Names by identity; the tensors are kept, since another could otherwise take the place of one that is gone.
        self._names = {id(example): (name, example) for name, example in inputs.items()}

    def depends(self, value: object) -> bool:
        """Whether a value depends on the inputs."""
        return id(value) in self._names or (isinstance(value, tuple | list) and any(map(self.depends, value)))

    def name(self, value: Tensor | float, kind: torch.dtype | None = None) -> str:
        """The name of a value in the graph, as another type if need be."""
        if id(value) not in self._names:
            return self.graph.constant(torch.as_tensor(value, dtype=kind).detach().numpy())
        name, tensor = self._names[id(value)]
        return name if kind in (None, tensor.dtype) else self.graph.node("Cast", name, to=_KINDS[kind])

    def whole(self, *numbers: int) -> str:
        """The name of whole numbers, such as axes and sizes."""
        return self.graph.constant(torch.tensor(numbers, dtype=torch.int64).numpy())

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if not self.depends((*args, *kwargs.values())):
            return result
        name = function.__self__.__name__ if function.__name__ == "__get__" else function.__name__
        if name in _PROPERTIES:
            return result
        operator = _OPERATORS.get(name.removeprefix("__").removesuffix("__"))
        if operator is None:
            raise CannotExport(f"torch's {name} has no counterpart in a graph here")
        if not self.depends(result):  # a cast to what it is already gives the very tensor
            try:
                self._names[id(result)] = operator(self, result, *args, **kwargs), result
            except TypeError as error:
                raise CannotExport(f"torch's {name} has no counterpart in a graph here: {error}") from None
        return result


def _elementwise(operator: str) -> Callable[..., str]:
    """Of values of the type of the result."""

    def note(to: Recorder, result: Tensor, *args: Tensor | float) -> str:
        return to.graph.node(operator, *(to.name(arg, result.dtype) for arg in args))

    return note


def _reduced(operator: str) -> Callable[..., str]:
    def note(to: Recorder, _: Tensor, x: Tensor, dim: int, keepdim: bool = False) -> str:
        return to.graph.node(operator, to.name(x), to.whole(dim), keepdims=int(keepdim))

    return note


def _argmin(to: Recorder, _: Tensor, x: Tensor, dim: int, keepdim: bool = False) -> str:
    return to.graph.node("ArgMin", to.name(x), axis=dim, keepdims=int(keepdim))


def _atan2(to: Recorder, result: Tensor, y: Tensor, x: Tensor) -> str:
    """The arc tangent of y / x, half a turn away where x is negative; 0 of 0 and 0. ONNX Runtime has it in float32."""
    if result.dtype is not torch.float32:
        raise TypeError("only float32 has an arc tangent")
    node, height, width, zero, half = to.graph.node, *(to.name(one, torch.float32) for one in (y, x, 0.0, math.pi))
    angle = node("Atan", node("Div", height, width))
    turned = node("Where", node("Less", height, zero), node("Sub", angle, half), node("Add", angle, half))
    angle = node("Where", node("Less", width, zero), turned, angle)
    return node("Where", node("IsNaN", angle), zero, angle)


def _baddbmm(to: Recorder, _: Tensor, bias: Tensor, x: Tensor, weight: Tensor) -> str:
    return to.graph.node("Add", to.graph.node("MatMul", to.name(x), to.name(weight)), to.name(bias))


def _cast(to: Recorder, result: Tensor, x: Tensor, *_: object) -> str:
    return to.name(x, result.dtype)


def _cat(to: Recorder, result: Tensor, parts: Sequence[Tensor], dim: int = 0) -> str:
    return to.graph.node("Concat", *(to.name(part, result.dtype) for part in parts), axis=dim)


def _clamp(to: Recorder, result: Tensor, x: Tensor, *limits: float, **limit: float) -> str:
    low, high = [*limits, None, None][:2]
    name = to.name(x)
    for operator, bound in ("Max", limit.get("min", low)), ("Min", limit.get("max", high)):
        if bound is not None:
            name = to.graph.node(operator, name, to.name(bound, result.dtype))
    return name


def _expand(to: Recorder, _: Tensor, x: Tensor, *sizes: int) -> str:
    return to.graph.node("Expand", to.name(x), to.whole(*(max(size, 1) for size in sizes)))


def _getitem(to: Recorder, _: Tensor, x: Tensor, places: Any) -> str:
    """Slices, single places, lists of places on one axis, and new axes."""
    places = places if isinstance(places, tuple) else (places,)
    name, old = to.name(x), [place for place in places if place is not None]
    cut = {axis: place.indices(x.shape[axis]) for axis, place in enumerate(old) if isinstance(place, slice)}
    cut = {axis: ends for axis, ends in cut.items() if old[axis] != slice(None)}
    if cut:
        starts, stops, steps = zip(*cut.values(), strict=True)
        name = to.graph.node("Slice", name, *(to.whole(*one) for one in (starts, stops, cut, steps)))
    for axis, place in reversed(list(enumerate(old))):
        if isinstance(place, list) and all(other is place or isinstance(other, slice) for other in old):
            name = to.graph.node("Gather", name, to.whole(*place), axis=axis)
        elif isinstance(place, int):
            name = to.graph.node("Gather", name, to.name(place, torch.int64), axis=axis)
        elif not isinstance(place, slice):
            raise TypeError(f"places of type {type(place).__name__}")
    left = [place for place in places if not isinstance(place, int)]
    new = [axis for axis, place in enumerate(left) if place is None]
    return to.graph.node("Unsqueeze", name, to.whole(*new)) if new else name


def _index_select(to: Recorder, _: Tensor, x: Tensor, dim: int, index: Tensor) -> str:
    return to.graph.node("Gather", to.name(x), to.name(index), axis=dim)


def _isnan(to: Recorder, _: Tensor, x: Tensor) -> str:
    return to.graph.node("IsNaN", to.name(x))


def _log1p(to: Recorder, result: Tensor, x: Tensor) -> str:
    return to.graph.node("Log", to.graph.node("Add", to.name(x), to.name(1.0, result.dtype)))


def _remainder(to: Recorder, result: Tensor, x: Tensor, y: Tensor | int) -> str:
    if result.is_floating_point():
        raise TypeError("only whole numbers have a remainder")
    return to.graph.node("Mod", to.name(x, result.dtype), to.name(y, result.dtype))


def _reshape(to: Recorder, _: Tensor, x: Tensor, *sizes: int) -> str:
    return to.graph.node("Reshape", to.name(x), to.whole(*sizes))


def _softmax(to: Recorder, _: Tensor, x: Tensor, dim: int) -> str:
    return to.graph.node("Softmax", to.name(x), axis=dim)


def _squeeze(to: Recorder, _: Tensor, x: Tensor, dim: int) -> str:
    return to.graph.node("Squeeze", to.name(x), to.whole(dim))


def _tree_sum(to: Recorder, _: Tensor, inputs: Tensor, trees: Trees) -> str:
    return to.graph.node(TREES, to.name(inputs), domain=TREES_DOMAIN, **trees.attributes())


def _where(to: Recorder, result: Tensor, condition: Tensor, x: Tensor | float, y: Tensor | float) -> str:
    return to.graph.node("Where", to.name(condition), to.name(x, result.dtype), to.name(y, result.dtype))


def _zeros_like(to: Recorder, result: Tensor, x: Tensor) -> str:
    return to.graph.node("Expand", to.name(0.0, result.dtype), to.graph.node("Shape", to.name(x)))


#: What notes each torch function: ``operator(recorder, result, *args, **kwargs)`` gives the result's name in the graph.
_OPERATORS: dict[str, Callable[..., str]] = {
    "abs": _elementwise("Abs"),
    "add": _elementwise("Add"),
    "amax": _reduced("ReduceMax"),
    "argmin": _argmin,
    "atan2": _atan2,
    "baddbmm": _baddbmm,
    "cat": _cat,
    "clamp": _clamp,
    "div": _elementwise("Div"),
    "exp": _elementwise("Exp"),
    "expand": _expand,
    "float": _cast,
    "floor": _elementwise("Floor"),
    "getitem": _getitem,
    "index_select": _index_select,
    "isnan": _isnan,
    "log": _elementwise("Log"),
    "log1p": _log1p,
    "matmul": _elementwise("MatMul"),
    "maximum": _elementwise("Max"),
    "mean": _reduced("ReduceMean"),
    "minimum": _elementwise("Min"),
    "mul": _elementwise("Mul"),
    "neg": _elementwise("Neg"),
    "relu": _elementwise("Relu"),
    "remainder": _remainder,
    "reshape": _reshape,
    "round": _elementwise("Round"),
    "sign": _elementwise("Sign"),
    "sin": _elementwise("Sin"),
    "softmax": _softmax,
    "squeeze": _squeeze,
    "sub": _elementwise("Sub"),
    "sum": _reduced("ReduceSum"),
    "tanh": _elementwise("Tanh"),
    "to": _cast,
    "tree_sum": _tree_sum,
    "where": _where,
    "zeros_like": _zeros_like,
}
