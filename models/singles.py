"""What is odd in one thing: tail probabilities of single features, so that one is not drowned by fifty others.

Imported by ``training`` only: serving runs the exported graph. ``training/singles.py`` fits it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Bends(nn.Module):
    """Increasing piecewise linear functions, one a column: f(v) = Σₘ slopeₘ max(v − knotₘ, 0).

    Args:
        columns: functions.
        bends: knots of each at most; unused ones have slope 0.
    """

    def __init__(self, columns: int, bends: int) -> None:
        super().__init__()
        self.register_buffer("knot", torch.zeros(columns, bends, dtype=torch.float64))
        self.register_buffer("slope", torch.zeros(columns, bends, dtype=torch.float64))

    knot: Tensor
    slope: Tensor

    def set(self, column: int, x: Tensor, y: Tensor, beyond: float) -> None:
        """Make one function run through the points (x, y), 0 before the first, with slope ``beyond`` after the last.

        Args:
            x, y: [k], both strictly increasing, y[0] = 0, k at most the number of bends.
        """
        slopes = torch.cat([(y.diff() / x.diff()), torch.tensor([beyond], dtype=x.dtype)])
        self.knot[column], self.slope[column] = x[0], 0.0
        self.knot[column, : len(x)] = x
        self.slope[column, : len(x)] = torch.cat([slopes[:1], slopes.diff()])

    def forward(self, v: Tensor) -> Tensor:
        """[n, columns] -> [n, columns]."""
        return (self.slope * torch.relu(v[:, :, None] - self.knot)).sum(2)


class Singles(nn.Module):
    """Raises the reconstruction error of a row in which a single thing is rarer than its error says.

    Two sizes of every feature: how far its value lies from the mean, and how far from what the other features say of
    it, r = (Σ⁻¹z)ⱼ / √(Σ⁻¹)ⱼⱼ with z = x − μ (of a feature with several columns the length of the whitened block).
    t = −log of the size's tail probability among legitimate rows, above −log of ``first``, else 0. The features of one
    cause, such as the windows of one word, count once: with their largest t, whose tail probability is taken anew.
    T = Σ t is a soft-thresholded combination of p-values (Zhang, Tong, Landers & Wu, *TFisher*, Annals of Applied
    Statistics 14, 2020). The error rises until its own −log tail probability has grown by ``weight`` · −log p(T).

    Args:
        width: D, the columns of x.
        causes: [features], which cause each feature belongs to, counted from 0.
        bends: of a size, and of the error and of T.
    """

    def __init__(self, width: int, causes: tuple[int, ...], bends: tuple[int, int]) -> None:
        super().__init__()
        features, wide = len(causes), torch.float64
        self.register_buffer("mean", torch.zeros(width, dtype=wide))
        self.register_buffer("axes", torch.zeros(width, 2 * width, dtype=wide))
        members = [[f for f, cause in enumerate(causes) if cause == c] for c in range(max(causes) + 1)]
        members += [[features + f for f in group] for group in members]
        most = max(len(group) for group in members)
        # One more column, always 0, fills up the causes that have fewer features than the largest.
        padded = [[*group, *([2 * features] * (most - len(group)))] for group in members]
        self.members = members
        self.most = most
        self.register_buffer("gather", torch.tensor(padded).reshape(-1))
        owner = torch.nn.functional.one_hot(self.gather % features, features).to(wide)
        owner[self.gather == 2 * features] = 0
        self.register_buffer("feature", owner)
        self.size = Bends(2 * features, bends[0])
        self.cause = Bends(len(members), bends[0])
        self.total = Bends(1, bends[1])
        self.error = Bends(1, bends[1])
        self.inverse = Bends(1, bends[1])
        self.register_buffer("weight", torch.zeros((), dtype=wide))

    mean: Tensor
    axes: Tensor
    gather: Tensor
    feature: Tensor
    weight: Tensor

    def sizes(self, x: Tensor, owner: Tensor) -> Tensor:
        """How far out each feature is, by itself and given the others: x [n, D] -> [n, 2 · features]."""
        columns = torch.matmul(x - self.mean, self.axes).square()
        own, given = columns.tensor_split(2, dim=1)
        return torch.cat([torch.matmul(own, owner), torch.matmul(given, owner)], dim=1).sqrt()

    def rarest(self, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Largest t of each cause [n, causes], and which of its features have it [n, causes, most], summing to 1."""
        t = self.size(sizes)
        t = torch.cat([t, torch.zeros_like(t[:, :1])], dim=1)
        each = t.index_select(1, self.gather).reshape(-1, len(self.members), self.most)
        largest = each.amax(2)
        is_largest = (each == largest[:, :, None]).to(t.dtype)
        return largest, is_largest / is_largest.sum(2, keepdim=True)

    def forward(self, x: Tensor, owner: Tensor) -> Tensor:
        """Each feature's part in T: x [n, D] -> [n, features].

        Args:
            owner: [D, features], which columns belong to which feature.
        """
        largest, whose = self.rarest(self.sizes(x, owner))
        parts = self.cause(largest)[:, :, None] * whose
        return torch.matmul(parts.flatten(1), self.feature)

    def raised(self, error: Tensor, parts: Tensor, total: Tensor) -> Tensor:
        """What the error rises by, split between the features.

        Args:
            error: [n, 1]; ``parts``: of T, [n, features]; ``total``: T, [n, 1].

        Returns:
            [n, features].
        """
        rarity = self.error(error)
        rise = self.inverse(rarity + self.weight * self.total(total)) - self.inverse(rarity)
        # A tiny number added instead would be optimised away by the exporter.
        risen: Tensor = rise * parts / torch.where(total > 0, total, torch.ones_like(total))
        return risen
