"""The layer that an ensemble of networks is made of. Imported by ``training`` only."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class MemberLinear(nn.Module):
    """A linear layer per member: [K, n, in] -> [K, n, out] in one batched matrix product."""

    def __init__(self, members: int, inputs: int, outputs: int, gain: float, generator: torch.Generator) -> None:
        super().__init__()
        weight = torch.randn(members, inputs, outputs, generator=generator) * (gain / math.sqrt(inputs))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    @staticmethod
    def of(weight: Tensor, bias: Tensor) -> MemberLinear:
        """The layer with this weight [K, in, out] and bias [K, 1, out]."""
        members, inputs, outputs = weight.shape
        layer = MemberLinear(members, inputs, outputs, 0.0, torch.Generator())
        layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)
