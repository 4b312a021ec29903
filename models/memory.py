"""Memory: a reconstruction out of remembered typical transactions, beside the trained autoencoders.

Imported by ``training`` only: serving runs the exported graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Memory(nn.Module):
    """x̂ = softmax(−‖Vᵀx − Vᵀs‖² / 2τ) S: an undercomplete autoencoder whose decoder can only mix remembered rows.

    The code is x in its top principal axes V, fewer than its inputs; S are the slots, cluster centres of legitimate
    rows. It cannot reconstruct what lies away from all of them (Gong et al., *Memorizing Normality to Detect Anomaly*,
    2019; here fitted in closed form and by k-means, without gradients).

    Args:
        inputs: D.
        code_size: columns of V, fewer than D.
        slots: rows of S.
    """

    def __init__(self, inputs: int, code_size: int, slots: int) -> None:
        super().__init__()
        wide = torch.float64
        self.register_buffer("axes", torch.zeros(inputs, code_size, dtype=wide))
        self.register_buffer("slots", torch.zeros(slots, inputs, dtype=wide))
        self.register_buffer("keys", torch.zeros(code_size, slots, dtype=wide))
        self.register_buffer("offset", torch.zeros(slots, dtype=wide))

    axes: Tensor
    slots: Tensor
    keys: Tensor
    offset: Tensor

    def set(self, axes: Tensor, slots: Tensor, temperature: float) -> None:
        """Fill in V [D, c], S [slots, D] and τ > 0."""
        keys = slots @ axes
        self.axes.copy_(axes)
        self.slots.copy_(slots)
        # ‖Vᵀx‖² is the same for every slot and drops out of the softmax.
        self.keys.copy_(keys.T / temperature)
        self.offset.copy_(-0.5 * keys.square().sum(1) / temperature)

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction: [n, D] -> [n, D]."""
        weights = torch.softmax(torch.matmul(x, self.axes @ self.keys) + self.offset, dim=1)
        return torch.matmul(weights, self.slots)
