"""The model that every peer serves: an autoencoder of one transaction in PyTorch, as most people write it.

Imported by each peer's server in an environment of its own. Speed does not depend on what it has learned, so that its
weights are drawn, not trained. What a peer leaves to its user (checks of the input, a durable record, reasons) is left
out here: it does less than Counterfoil for each transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

#: Columns that are numbers; the others of a transaction are passed over.
FEATURES = (
    "amount",
    "latitude",
    "longitude",
    "merchant_latitude",
    "merchant_longitude",
    "card_age_days",
    "hour",
    "day",
)
_THRESHOLD = 4.0


class Autoencoder:
    """Scores one transaction, or many, by the reconstruction error of their normalised features."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        width = len(FEATURES)
        self._mean, self._scale = torch.zeros(width), torch.ones(width)
        self._network = torch.nn.Sequential(
            torch.nn.Linear(width, 16), torch.nn.Tanh(), torch.nn.Linear(16, 4), torch.nn.Tanh(),
            torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, width),
        ).eval()  # fmt: skip

    def score(self, transactions: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The answer for each transaction."""
        rows = torch.tensor([[float(one.get(name, 0.0)) for name in FEATURES] for one in transactions])
        with torch.inference_mode():
            rows = (rows - self._mean) / self._scale
            errors = (0.5 * (self._network(rows) - rows) ** 2).mean(dim=1).tolist()
        return [{"reconstruction_error": error, "is_anomaly": error >= _THRESHOLD} for error in errors]
