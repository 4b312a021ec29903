"""Convolutions for rows that are a grid, trained as shared kernels and unrolled to the matrices that they are.

ONNX Runtime convolves in float32 only, on a CPU, and a score is float64. As matrices they need no operator that the
graph does not have already. Imported by ``training`` only.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.layers import MemberLinear

Grid = tuple[int, int]
#: Each convolution halves the grid: a window of 4 × 4 places at every second place.
_WINDOW, _STEP = 4, 2


def halved(grid: Grid) -> Grid:
    """The grid after a convolution, rounded up."""
    return -(-grid[0] // _STEP), -(-grid[1] // _STEP)


class MemberConvolution(nn.Module):
    """A convolution per member, or its transpose: [K, n, places · inputs] -> [K, n, places · outputs].

    Rows lie place by place, each with its channels. Beyond the edge there is nothing.

    Args:
        members: K.
        grid: rows and columns of the finer side.
        channels: of inputs and outputs.
        transposed: from the halved grid to the finer one.
        gain: of the initial weights.
        generator: source of the initial weights.
    """

    def __init__(
        self,
        members: int,
        grid: Grid,
        channels: tuple[int, int],
        gain: float,
        generator: torch.Generator,
        *,
        transposed: bool = False,
    ) -> None:
        super().__init__()
        places = _places(grid).T if transposed else _places(grid)
        inputs, outputs = channels
        self.members, self.shape = members, (*places.shape, inputs, outputs)
        self.register_buffer("places", torch.from_numpy(places.reshape(-1).copy()), persistent=False)
        size = _WINDOW**2
        seen = inputs * size / (_STEP**2 if transposed else 1)
        kernel = torch.randn(members, size, inputs, outputs, generator=generator) * (gain / math.sqrt(seen))
        self.kernel = nn.Parameter(kernel)
        self.bias = nn.Parameter(torch.zeros(members, 1, 1, outputs))

    places: Tensor

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Weight [K, places · inputs, places · outputs] and bias [K, 1, places · outputs]."""
        coming, leaving, inputs, outputs = self.shape
        kernel = torch.cat([self.kernel, torch.zeros_like(self.kernel[:, :1])], dim=1)
        weight = kernel.index_select(1, self.places).reshape(self.members, *self.shape).permute(0, 1, 3, 2, 4)
        bias = self.bias.expand(self.members, 1, leaving, outputs)
        return weight.reshape(self.members, coming * inputs, leaving * outputs), bias.reshape(self.members, 1, -1)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.matrices()
        return torch.baddbmm(bias, x, weight)

    def unrolled(self) -> MemberLinear:
        """The same as a plain layer."""
        with torch.no_grad():
            return MemberLinear.of(*self.matrices())


def _places(grid: Grid) -> NDArray[np.int64]:
    """Which place of the window each place of the grid is, seen from each place of the halved grid.

    Returns:
        [places, halved places]; the window's size where it is outside.
    """
    sides = []
    for length, short in zip(grid, halved(grid), strict=True):
        offset = np.arange(length)[:, None] - _STEP * np.arange(short) + (_WINDOW - _STEP) // 2
        sides.append(np.where((offset >= 0) & (offset < _WINDOW), offset, -1))
    rows, columns = sides[0][:, None, :, None], sides[1][None, :, None, :]
    inside = (rows >= 0) & (columns >= 0)
    places = np.where(inside, rows * _WINDOW + columns, _WINDOW**2)
    return places.reshape(grid[0] * grid[1], -1).astype(np.int64)
