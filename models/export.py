"""Write a torch module as an ONNX graph: it computes a few rows while each torch function is noted as ONNX operators.

What depends on buffers and parameters alone is no node: torch computes it on the way, and the graph has its value as a
constant. Functions that depend on the inputs must be in :mod:`models.torch_operators`. Imported by ``training`` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.graph_writer import GraphWriter
from models.torch_operators import OPERATORS

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
        #: By name, of what is made by :meth:`plus` and :meth:`expanded`: what it is made of.
        self._sums: dict[str, tuple[str, Tensor]] = {}
        self._narrow: dict[str, Tensor] = {}

    def depends(self, value: object) -> bool:
        """Whether a value depends on the inputs."""
        return id(value) in self._names or (isinstance(value, tuple | list) and any(map(self.depends, value)))

    def name(self, value: Tensor | float, kind: torch.dtype | None = None) -> str:
        """The name of a value in the graph, as another type if need be."""
        if id(value) not in self._names:
            return self.graph.constant(torch.as_tensor(value, dtype=kind).detach().numpy())
        name, tensor = self._names[id(value)]
        return name if kind in (None, tensor.dtype) else self.graph.node("Cast", name, to=_KINDS[kind])

    def expanded(self, x: Tensor, sizes: Sequence[int]) -> str:
        """A tensor at these sizes, which most operators do not need: see :meth:`narrow`."""
        made = self.graph.node("Expand", self.name(x), self.whole(*(max(size, 1) for size in sizes)))
        self._narrow[made] = x
        return made

    def narrow(self, x: Tensor | float) -> Tensor | float:
        """What a tensor was expanded from."""
        return self._narrow.get(self.name(x), x) if self.depends(x) else x

    def plus(self, name: str, constant: Tensor) -> str:
        """A value and a constant, added in one go with a constant that was added before."""
        if name in self._sums:
            name, before = self._sums[name]
            constant = before + constant
        made = self.graph.node("Add", name, self.name(constant))
        self._sums[made] = name, constant
        return made

    def times(self, name: str, matrix: Tensor) -> str:
        """A value by a constant matrix; a constant that was added to it is added behind, where more may be added."""
        if name not in self._sums:
            return self.graph.node("MatMul", name, self.name(matrix))
        name, before = self._sums[name]
        rows = before.broadcast_to(*before.shape[:-1], matrix.shape[-2])
        made = self.graph.node("MatMul", name, self.name(matrix))
        return self.plus(made, rows[None] @ matrix if rows.ndim == 1 else rows @ matrix)

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
        operator = OPERATORS.get(name.removeprefix("__").removesuffix("__"))
        if operator is None:
            raise CannotExport(f"torch's {name} has no counterpart in a graph here")
        if not self.depends(result):  # a cast to what it is already gives the very tensor
            try:
                self._names[id(result)] = operator(self, result, *args, **kwargs), result
            except TypeError as error:
                raise CannotExport(f"torch's {name} has no counterpart in a graph here: {error}") from None
        return result
