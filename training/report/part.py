"""ScoredPart: the rows a report is about, with their scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rows import Batch
from models.scorer import Scorer
from training.read import History


@dataclass(frozen=True)
class PartScores:
    """Errors and scores of all rows. Contributions are left out: only the alerts that the report explains need them.

    Attributes:
        error: float64 [n], reconstruction error, >= 0.
        score: float64 [n] in [0, 1), higher = more anomalous.
    """

    error: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class ScoredPart:
    """Rows with their scores, for the report.

    Attributes:
        batch, history: the same rows as the detector and as the user knows them.
        scores: what the detector says of them.
    """

    batch: Batch
    history: History
    scores: PartScores

    @staticmethod
    def of(scorer: Scorer, batch: Batch, history: History) -> ScoredPart:
        """Score the rows."""
        error = scorer.errors(batch)
        return ScoredPart(batch, history, PartScores(error, scorer.manifest.calibration.to_score(error)))

    def __len__(self) -> int:
        return len(self.scores.score)
