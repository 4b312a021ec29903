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
    """Scores of all rows and what they are the ranks of, without contributions: only explained alerts need them.

    Attributes:
        evidence: float64 [n] >= 0, the reconstruction error or the evidence of both opinions.
        score: float64 [n] in [0, 1), higher = more anomalous.
    """

    evidence: NDArray[np.float64]
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
        evidence = scorer.evidence(batch)
        return ScoredPart(batch, history, PartScores(evidence, scorer.manifest.calibration.to_score(evidence)))

    def __len__(self) -> int:
        return len(self.scores.score)
