"""Autoencoder: encoder h = f(x), decoder r = g(h), as an ensemble trained at once.

Imported by ``training`` only: serving runs the exported graph and never needs torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from models.errors import InvalidInput

MAX_WEIGHTS = 50_000_000
ArchitectureKind = Literal["undercomplete", "overcomplete"]


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape of the ensemble.

    Attributes:
        inputs: D, width of the normalised input and of the reconstruction.
        code_size: c, width of the code h; narrower than D unless overcomplete.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them.
        members: K, autoencoders side by side with weights of their own.
        architecture: ``undercomplete`` (c < D), or ``overcomplete`` (c >= D), which is legal only with noise.
        noise: standard deviation of the Gaussian noise added to the input in training (denoising).
    """

    inputs: int
    code_size: int
    hidden: tuple[int, ...]
    members: int
    architecture: ArchitectureKind = "undercomplete"
    noise: float = 0.0

    def __post_init__(self) -> None:
        if min(self.code_size, self.members, *self.hidden, 1) < 1:
            raise InvalidInput("code size, hidden widths and members must each be at least 1")
        widths = (self.inputs, *self.hidden, self.code_size)
        weights = 2 * self.members * sum(a * b for a, b in pairwise(widths))
        if weights > MAX_WEIGHTS:
            raise InvalidInput(
                f"{weights:,} weights, at most {MAX_WEIGHTS:,}: ask for narrower layers or fewer members"
            )
        if not 0 <= self.noise < math.inf:
            raise InvalidInput("noise must be zero or more, and finite")
        if self.architecture == "undercomplete" and self.inputs < 2:
            raise InvalidInput(
                "the detector has a single input, which leaves no room for a code: give it more features"
            )
        if self.architecture == "undercomplete" and self.code_size >= self.inputs:
            raise InvalidInput(
                f"code size {self.code_size} is not narrower than the {self.inputs} inputs: an undercomplete "
                f"autoencoder needs at most {self.inputs - 1}; a wider code would learn to copy its input"
            )
        if self.architecture == "overcomplete" and self.code_size < self.inputs:
            raise InvalidInput(
                f"code size {self.code_size} is narrower than the {self.inputs} inputs: that is undercomplete; "
                f"an overcomplete autoencoder needs at least {self.inputs}"
            )
        if self.architecture == "overcomplete" and self.noise == 0:
            raise InvalidInput(
                "an overcomplete autoencoder without noise learns to copy its input and would flag nothing: "
                "set noise above 0 (denoising)"
            )


class MemberLinear(nn.Module):
    """A linear layer per member: [K, n, in] -> [K, n, out] in one batched matrix product."""

    def __init__(self, members: int, inputs: int, outputs: int, gain: float, generator: torch.Generator) -> None:
        super().__init__()
        weight = torch.randn(members, inputs, outputs, generator=generator) * (gain / math.sqrt(inputs))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(members, 1, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class Autoencoder(nn.Module):
    """K autoencoders with a leading member axis, tanh between layers, linear code and output.

    Bounded units cannot carry an input that lies far from everything seen in training through to the output, which is
    what makes its residual large; SiLU and ReLU extrapolate linearly and copy it (``docs/decisions/detector.md``).

    Args:
        config: the shape.
        generator: source of the initial weights; the global one is never touched.
    """

    def __init__(self, config: AutoencoderConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        widths = (config.inputs, *config.hidden, config.code_size)
        self.encoder = self._stack(widths, generator)
        self.decoder = self._stack(widths[::-1], generator)

    def _stack(self, widths: tuple[int, ...], generator: torch.Generator) -> nn.Sequential:
        layers: list[nn.Module] = []
        last = len(widths) - 2
        for position, (inputs, outputs) in enumerate(pairwise(widths)):
            # tanh shrinks the signal: the gain keeps its size from layer to layer.
            gain = 1.0 if position == last else 1.3
            layers.append(MemberLinear(self.config.members, inputs, outputs, gain, generator))
            if position < last:
                layers.append(nn.Tanh())
        return nn.Sequential(*layers)

    def encode(self, x: Tensor) -> Tensor:
        """The code h = f(x): [K, n, D] -> [K, n, c]."""
        code: Tensor = self.encoder(x)
        return code

    def decode(self, code: Tensor) -> Tensor:
        """The reconstruction r = g(h): [K, n, c] -> [K, n, D]."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction x̂ = g(f(x)): [K, n, D] -> [K, n, D]."""
        return self.decode(self.encode(x))


def reconstruction_loss(x: Tensor, reconstruction: Tensor, unit: Tensor, bound: float) -> Tensor:
    """L = 1/m Σ w ½‖x − x̂‖² / D over the m rows, summed over the members, so that each trains as if alone.

    w = min(1, √(q / l)), with l = ‖(x − x̂) / unit‖² and q the ``bound`` quantile of l over the member's rows, both held
    fixed in the gradient: Huber's loss on the distance. A few unlabelled frauds among the rows then pull no harder than
    ordinary rows do, and stay badly reconstructed; with the squared error alone they are learned first.

    Args:
        x, reconstruction: [K, m, D].
        unit: [D], the size of a usual departure in each input: it says what is far, not what is learned.
        bound: in (0, 1]; 1 is the plain squared error.
    """
    residual = x - reconstruction
    with torch.no_grad():
        distance = (residual / unit).square().sum(-1).clamp(min=torch.finfo(x.dtype).tiny)
        weight = (distance.quantile(bound, dim=-1, keepdim=True) / distance).clamp(max=1).sqrt()
    return 0.5 * (weight * residual.square().mean(-1)).mean(-1).sum()
