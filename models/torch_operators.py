"""What each torch function is in ONNX: the closed set of what a detector may compute of its inputs.

Imported by ``training`` only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from models.graph_check import TREES, TREES_DOMAIN
from models.trees import Trees

if TYPE_CHECKING:
    from models.export import Recorder


def _elementwise(operator: str) -> Callable[..., str]:
    """Of values of the type of the result."""

    def note(to: Recorder, result: Tensor, *args: Tensor | float) -> str:
        return to.graph.node(operator, *(to.name(arg, result.dtype) for arg in _broadcast(to, result, *args)))

    return note


def _broadcast(to: Recorder, result: Tensor, *args: Tensor | float) -> tuple[Tensor | float, ...]:
    """The arguments as they were before they were expanded, if that gives the same."""
    narrow = tuple(to.narrow(arg) for arg in args)
    shapes = [arg.shape for arg in narrow if isinstance(arg, Tensor)]
    return narrow if np.broadcast_shapes(*shapes) == result.shape else args


def _sum(operator: str, sign: int) -> Callable[..., str]:
    def note(to: Recorder, result: Tensor, x: Tensor | float, y: Tensor | float) -> str:
        x, y = _broadcast(to, result, x, y)
        if sign > 0 and not to.depends(x):
            x, y = y, x
        if not to.depends(x) or to.depends(y):
            return to.graph.node(operator, to.name(x, result.dtype), to.name(y, result.dtype))
        return to.plus(to.name(x, result.dtype), sign * torch.as_tensor(y, dtype=result.dtype))

    return note


def _product(operator: str) -> Callable[..., str]:
    plain = _elementwise(operator)

    def note(to: Recorder, result: Tensor, x: Tensor | float, y: Tensor | float) -> str:
        for one, other in [(x, y), (y, x)] if operator == "Mul" else [(x, y)]:
            same = isinstance(one, Tensor) and one.shape == result.shape and not to.depends(other)
            if same and bool((torch.as_tensor(other) == 1).all()):
                return to.name(one, result.dtype)
        return plain(to, result, x, y)

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


def _baddbmm(to: Recorder, result: Tensor, bias: Tensor, x: Tensor, weight: Tensor) -> str:
    product = _matmul(to, result, x, weight)
    return to.graph.node("Add", product, to.name(bias)) if to.depends(bias) else to.plus(product, bias)


def _cast(to: Recorder, result: Tensor, x: Tensor, *_: object) -> str:
    return to.name(x, result.dtype)


def _cat(to: Recorder, result: Tensor, parts: Sequence[Tensor], dim: int = 0) -> str:
    names = [to.name(part, result.dtype) for part in parts]
    return to.graph.node("Concat", *names, axis=dim) if len(names) > 1 else names[0]


def _clamp(to: Recorder, result: Tensor, x: Tensor, *limits: float, **limit: float) -> str:
    low, high = [*limits, None, None][:2]
    low, high = limit.get("min", low), limit.get("max", high)
    bounds = {
        operator: to.name(bound, result.dtype) for operator, bound in (("Max", low), ("Min", high)) if bound is not None
    }
    if len(bounds) == 2 and not isinstance(low, Tensor):
        return to.graph.node("Clip", to.name(x), *bounds.values())
    name = to.name(x)
    for operator, bound in bounds.items():
        name = to.graph.node(operator, name, bound)
    return name


def _expand(to: Recorder, _: Tensor, x: Tensor, *sizes: int) -> str:
    return to.expanded(x, sizes)


def _getitem(to: Recorder, _: Tensor, x: Tensor, places: Any) -> str:
    """Slices, single places, lists of places on one axis, and new axes; or rows by a tensor of their places."""
    if isinstance(places, Tensor) and places.dtype is torch.int64:
        return to.graph.node("Gather", to.name(x), to.name(places))
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


def _matmul(to: Recorder, result: Tensor, x: Tensor, y: Tensor) -> str:
    if to.depends(y) or y.ndim < 2:
        return to.graph.node("MatMul", to.name(x), to.name(y))
    narrow = to.narrow(x)
    if isinstance(narrow, Tensor) and narrow.ndim > 1:
        sizes = (*np.broadcast_shapes(narrow.shape[:-2], y.shape[:-2]), narrow.shape[-2], y.shape[-1])
        x = narrow if sizes == result.shape else x
    return to.times(to.name(x), y)


def _remainder(to: Recorder, result: Tensor, x: Tensor, y: Tensor | int) -> str:
    if result.is_floating_point():
        raise TypeError("only whole numbers have a remainder")
    return to.graph.node("Mod", to.name(x, result.dtype), to.name(y, result.dtype))


def _reshape(to: Recorder, _: Tensor, x: Tensor, *sizes: int) -> str:
    return to.graph.node("Reshape", to.name(x), to.whole(*sizes))


def _softmax(to: Recorder, _: Tensor, x: Tensor, dim: int) -> str:
    return to.graph.node("Softmax", to.name(x), axis=dim)


def _tree_sum(to: Recorder, _: Tensor, inputs: Tensor, trees: Trees) -> str:
    return to.graph.node(TREES, to.name(inputs), domain=TREES_DOMAIN, **trees.attributes())


def _where(to: Recorder, result: Tensor, condition: Tensor, x: Tensor | float, y: Tensor | float) -> str:
    return to.graph.node("Where", to.name(condition), to.name(x, result.dtype), to.name(y, result.dtype))


#: What notes each torch function: ``operator(recorder, result, *args, **kwargs)`` gives the result's name in the graph.
OPERATORS: dict[str, Callable[..., str]] = {
    "abs": _elementwise("Abs"),
    "add": _sum("Add", 1),
    "amax": _reduced("ReduceMax"),
    "argmin": _argmin,
    "atan2": _atan2,
    "baddbmm": _baddbmm,
    "cat": _cat,
    "clamp": _clamp,
    "div": _product("Div"),
    "exp": _elementwise("Exp"),
    "expand": _expand,
    "float": _cast,
    "floor": _elementwise("Floor"),
    "getitem": _getitem,
    "index_select": _index_select,
    "isnan": _isnan,
    "log": _elementwise("Log"),
    "log1p": _log1p,
    "matmul": _matmul,
    "mean": _reduced("ReduceMean"),
    "minimum": _elementwise("Min"),
    "mul": _product("Mul"),
    "neg": _elementwise("Neg"),
    "relu": _elementwise("Relu"),
    "remainder": _remainder,
    "reshape": _reshape,
    "round": _elementwise("Round"),
    "sign": _elementwise("Sign"),
    "sin": _elementwise("Sin"),
    "softmax": _softmax,
    "sub": _sum("Sub", -1),
    "sum": _reduced("ReduceSum"),
    "tanh": _elementwise("Tanh"),
    "to": _cast,
    "tree_sum": _tree_sum,
    "where": _where,
}
