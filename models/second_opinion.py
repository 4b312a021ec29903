"""The second opinion: how much a row looks like fraud that was labelled; and one alert budget for both opinions.

Imported by ``training`` only: serving runs the exported graph. ``training/second_opinion.py`` fits it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.trees import Trees

#: What the trees look at is a multiple of 1 / this: machines that differ in a last digit take the same branch.
_GRID = 2.0**20


class Tail(nn.Module):
    """An increasing piecewise linear function, f(v) = Σₘ slopeₘ max(v − knotₘ, 0): −log of a tail probability.

    Args:
        x, y: float64 [k], its points, both strictly increasing, y[0] = 0; 0 before the first.
        beyond: its slope after the last.
    """

    def __init__(self, x: Tensor, y: Tensor, beyond: float) -> None:
        super().__init__()
        slopes = torch.cat([y.diff() / x.diff(), torch.tensor([beyond], dtype=x.dtype)])
        self.register_buffer("knot", x)
        self.register_buffer("slope", torch.cat([slopes[:1], slopes.diff()])[:, None])

    knot: Tensor
    slope: Tensor

    def forward(self, v: Tensor) -> Tensor:
        """[n, 1] -> [n, 1]."""
        return torch.matmul(torch.relu(v - self.knot), self.slope)


class SecondOpinion(nn.Module):
    """Combines what is unusual with what is known of fraud into one number, the larger the more anomalous.

    The first opinion is the reconstruction error e, the second the trees' t. With p₁, p₂ their tail probabilities
    among legitimate rows and the share ν of the novel, evidence = max(log ν − log p₁, log(1 − ν) − log p₂), moved up so
    that it is never negative. Of any budget of alerts on legitimate rows the share ν then goes to the first opinion
    and the rest to the second (a weighted minimum of p-values: Genovese, Roeder & Wasserman, *False discovery control
    with p-value weighting*, Biometrika 93, 2006).

    Args:
        trees: of the log-odds of fraud, but for a constant.
        lowest: the smallest sum that the trees can give.
        novel, known: −log p₁ of log (1 + e), −log p₂ of t.
        share: ν, in (0, 1).
    """

    def __init__(self, trees: Trees, lowest: float, novel: Tail, known: Tail, share: float) -> None:
        super().__init__()
        self.trees = trees
        self.novel, self.known = novel, known
        self.register_buffer("lowest", torch.tensor(lowest, dtype=torch.float64))
        least = math.log(min(share, 1 - share))
        both = torch.tensor([[math.log(share) - least, math.log(1 - share) - least]], dtype=torch.float64)
        self.register_buffer("head_start", both)

    lowest: Tensor
    head_start: Tensor

    def sizes(self, x: Tensor, contributions: Tensor, error: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
        """How far either opinion goes, both >= 0: [n, 1], [n, 1]."""
        odds = self.trees(tree_inputs(x, contributions, error, code)) - self.lowest
        return torch.log1p(error[:, None]), torch.relu(odds)

    def combine(self, novel: Tensor, known: Tensor) -> Tensor:
        """The evidence [n] of how far either goes."""
        rarity = torch.cat([self.novel(novel), self.known(known)], dim=1) + self.head_start
        return rarity.amax(1)

    def forward(self, x: Tensor, contributions: Tensor, error: Tensor, code: Tensor) -> Tensor:
        """The evidence [n], >= 0.

        Args:
            x: [n, D], the ensemble's inputs.
            contributions: [n, F]; ``error``: [n], their sum.
            code: [n, c].
        """
        return self.combine(*self.sizes(x, contributions, error, code))


def tree_inputs(x: Tensor, contributions: Tensor, error: Tensor, code: Tensor) -> Tensor:
    """What the trees look at: features, contributions, error and code of the first opinion, [n, D + F + 1 + c].

    Logarithmic beyond 1, so that the grid is as fine for the large as for the small.
    """
    parts = torch.cat([x, contributions, error[:, None], code], dim=1)
    squashed = torch.sign(parts) * torch.log1p(parts.abs())
    return torch.round(squashed * _GRID) / _GRID
