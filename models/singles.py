"""What is odd in one thing: tail probabilities of single features, so that one is not drowned by fifty others.

Imported by ``training`` only: serving runs the exported graph. ``training/singles.py`` fits it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: What is looked at in each column: its value from above and from below, and likewise what the others leave of it.
VIEWS = 4


class Singles(nn.Module):
    """Raises the reconstruction error of a row in which single things are rare: to e (1 + T)².

    Each column of x is looked at by itself and given the others, as r = (Σ⁻¹x)ⱼ / √(Σ⁻¹)ⱼⱼ, each from above and from
    below: t = −log of the tail probability among legitimate rows, beyond −log of a first one, else 0. A piecewise
    linear function of the value, t = Σₘ slopeₘ max(v − knotₘ, 0). T is the sum of all t, in which a cause, such as the
    windows of one word, counts as the mean of its columns: a soft-thresholded combination of p-values (Zhang, Tong,
    Landers & Wu, *TFisher*, Annals of Applied Statistics 14, 2020).

    Args:
        width: D, the columns of x.
        bends: knots of each function at most; unused ones have slope 0.
    """

    def __init__(self, width: int, bends: int) -> None:
        super().__init__()
        wide = torch.float64
        self.register_buffer("given", torch.zeros(width, width, dtype=wide))
        self.register_buffer("knot", torch.zeros(bends, VIEWS * width, dtype=wide))
        self.register_buffer("slope", torch.zeros(bends, VIEWS * width, dtype=wide))
        self.register_buffer("ones", torch.ones(width, 1, dtype=wide))

    given: Tensor
    knot: Tensor
    slope: Tensor
    ones: Tensor

    def views(self, x: Tensor) -> Tensor:
        """What is looked at: [n, D] -> [n, VIEWS · D], the larger the odder."""
        both = torch.cat([x, torch.matmul(x, self.given)], dim=1)
        return torch.cat([both, -both], dim=1)

    def set(self, view: int, x: Tensor, y: Tensor, beyond: float) -> None:
        """Make one function run through the points (x, y), 0 before the first, with slope ``beyond`` after the last.

        Args:
            x, y: [k], both strictly increasing, y[0] = 0, k at most the number of bends.
        """
        slopes = torch.cat([(y.diff() / x.diff()), torch.tensor([beyond], dtype=x.dtype)])
        self.knot[:, view], self.slope[:, view] = x[0], 0.0
        self.knot[: len(x), view] = x
        self.slope[: len(x), view] = torch.cat([slopes[:1], slopes.diff()])

    def odd(self, x: Tensor) -> Tensor:
        """Each column's part in T >= 0: [n, D] -> [n, D]."""
        odd = self.slope * torch.relu(self.views(x)[:, None] - self.knot)
        return odd.reshape(-1, VIEWS * len(self.knot), x.shape[1]).sum(1)

    def forward(self, x: Tensor, parts: Tensor) -> Tensor:
        """The columns' parts in the raised error: their own, and their shares of the rise e (1 + T)² − e = e T (2 + T).

        Args:
            x: [n, D]
            parts: [n, D], of the error e.
        """
        odd = self.odd(x)
        return parts + odd * (torch.matmul(parts, self.ones) * (torch.matmul(odd, self.ones) + 2))
