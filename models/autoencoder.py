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

from models.convolution import Grid, MemberConvolution, halved
from models.errors import InvalidInput
from models.layers import MemberLinear

MAX_WEIGHTS = 50_000_000
ArchitectureKind = Literal["undercomplete", "overcomplete", "convolutional"]


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape of the ensemble.

    Attributes:
        inputs: D, width of the normalised input and of the reconstruction.
        code_size: c, width of the code h; narrower than D unless overcomplete.
        hidden: widths of the encoder's hidden layers; the decoder mirrors them. Of a convolutional one the channels
            of its convolutions, each of which halves the grid.
        members: K, autoencoders side by side with weights of their own.
        architecture: ``undercomplete`` (c < D); ``convolutional``, the same for inputs that are a grid; or
            ``overcomplete`` (c >= D), which is legal only with noise.
        noise: standard deviation of the Gaussian noise added to the input in training (denoising).
        grid: rows and columns of a convolutional one, D in all, row by row.
    """

    inputs: int
    code_size: int
    hidden: tuple[int, ...]
    members: int
    architecture: ArchitectureKind = "undercomplete"
    noise: float = 0.0
    grid: Grid | None = None

    def __post_init__(self) -> None:
        if min(self.code_size, self.members, *self.hidden, 1) < 1:
            raise InvalidInput("code size, hidden widths and members must each be at least 1")
        self._check_grid()
        widths = self.widths
        weights = 2 * self.members * sum(a * b for a, b in pairwise(widths))
        if weights > MAX_WEIGHTS:
            raise InvalidInput(
                f"{weights:,} weights, at most {MAX_WEIGHTS:,}: ask for narrower layers or fewer members"
            )
        if not 0 <= self.noise < math.inf:
            raise InvalidInput("noise must be zero or more, and finite")
        if self.architecture != "overcomplete" and self.inputs < 2:
            raise InvalidInput(
                "the detector has a single input, which leaves no room for a code: give it more features"
            )
        if self.architecture != "overcomplete" and self.code_size >= self.inputs:
            raise InvalidInput(
                f"code size {self.code_size} is not narrower than the {self.inputs} inputs: an {self.architecture} "
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

    def _check_grid(self) -> None:
        if (self.grid is not None) != (self.architecture == "convolutional"):
            raise InvalidInput("a grid and the convolutional architecture need each other: give both, or neither")
        if self.grid is not None and (min(self.grid) < 2 or self.grid[0] * self.grid[1] != self.inputs):
            raise InvalidInput(
                f"a grid of {self.grid[0]} × {self.grid[1]} does not fit the {self.inputs} inputs: it needs at least 2 "
                "rows and 2 columns, and one number for each place, without categories, times or missing values"
            )

    @property
    def grids(self) -> tuple[Grid, ...]:
        """The grid before each convolution, and after the last."""
        grids = [self.grid or (1, 1)]
        for _ in self.hidden:
            grids.append(halved(grids[-1]))
        return tuple(grids)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the encoder's layers, from inputs to code."""
        if self.grid is None:
            return (self.inputs, *self.hidden, self.code_size)
        places = [rows * columns for rows, columns in self.grids]
        return (self.inputs, *(p * c for p, c in zip(places[1:], self.hidden, strict=True)), self.code_size)


class Autoencoder(nn.Module):
    """K autoencoders with a leading member axis, tanh between layers, linear code and output.

    A convolutional one has convolutions on the outside and a plain layer to and from the code.

    Bounded units cannot carry an input that lies far from everything seen in training through to the output, which is
    what makes its residual large; SiLU and ReLU extrapolate linearly and copy it (``docs/decisions/0002-detector.md``).

    Args:
        config: the shape.
        generator: source of the initial weights; the global one is never touched.
    """

    def __init__(self, config: AutoencoderConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.encoder = self._stack(config.widths, generator, transposed=False)
        self.decoder = self._stack(config.widths[::-1], generator, transposed=True)

    def _stack(self, widths: tuple[int, ...], generator: torch.Generator, *, transposed: bool) -> nn.Sequential:
        config = self.config
        channels, grids = (1, *config.hidden), config.grids
        layers: list[nn.Module] = []
        last = len(widths) - 2
        for position, (inputs, outputs) in enumerate(pairwise(widths)):
            # tanh shrinks the signal: the gain keeps its size from layer to layer.
            gain = 1.0 if position == last else 1.3
            depth = last - position if transposed else position
            if config.grid is not None and depth < len(config.hidden):
                fine, coarse = channels[depth : depth + 2]
                ways = (coarse, fine) if transposed else (fine, coarse)
                layers.append(
                    MemberConvolution(config.members, grids[depth], ways, gain, generator, transposed=transposed)
                )
            else:
                layers.append(MemberLinear(config.members, inputs, outputs, gain, generator))
            if position < last:
                layers.append(nn.Tanh())
        return nn.Sequential(*layers)

    def unroll(self) -> None:
        """Turn convolutions into plain layers, which compute the same."""
        for stack in (self.encoder, self.decoder):
            for position, layer in enumerate(stack):
                if isinstance(layer, MemberConvolution):
                    stack[position] = layer.unrolled()

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
