"""A scorer for many rows: several times as fast, the same decisions, and the same scores but for their last digits.

``docs/decisions/0016-bulk.md`` says why it may, and what was measured.
"""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from models.array_graph import ArrayGraph, UnknownOperator
from models.graph import part_of
from models.manifest import ERROR
from models.rows import Batch
from models.scorer import Scorer, Scores

#: How far, relative, the evidence of a row may lie from what ONNX Runtime computes; measured: 100 times closer.
DOUBT = 1e-10
#: A row whose score could be so far from the other within this doubt is scored by ONNX Runtime.
SCORE_DOUBT = 1e-8
#: Fewer rows are ONNX Runtime's.
_FEWEST = 64
_made: WeakKeyDictionary[Scorer, Scorer] = WeakKeyDictionary()


def for_many(scorer: Scorer) -> Scorer:
    """The same model for files and uploads; itself where its graph can only be run by ONNX Runtime.

    That is where it has a second opinion, or where the recorded golden rows do not come out nearly the same. Made once
    for each scorer, for as long as that is there.
    """
    found = _made.get(scorer)
    if found is None:
        found = _for_many(scorer)
        if found is not scorer:
            _made[scorer] = found
    return found


def _for_many(scorer: Scorer) -> Scorer:
    outputs = dict.fromkeys((scorer.manifest.ranked_by, ERROR, "contributions"))
    try:
        graph = ArrayGraph(part_of(scorer.bundle.detector, frozenset(outputs)))
    except UnknownOperator:
        return scorer
    golden = scorer.bundle.golden.batch()
    exact, found = scorer.graph.run(golden, *graph.outputs), graph.run(golden)
    limit = DOUBT / 10 * np.maximum(exact[graph.outputs.index(ERROR)], 1e-12)
    if any((limit < np.abs(a - b).T).any() for a, b in zip(exact, found, strict=True)):
        return scorer
    return _BulkScorer(scorer, graph)


class _BulkScorer(Scorer):
    def __init__(self, scorer: Scorer, graph: ArrayGraph) -> None:
        self.__dict__.update(copy.copy(scorer).__dict__)
        self._array_graph = graph

    def score(self, batch: Batch, *, explain: bool = False) -> Scores:
        """As of the class above."""
        if explain or len(batch) < _FEWEST:
            return super().score(batch, explain=explain)
        found = dict(zip(self._array_graph.outputs, self._array_graph.run(batch), strict=True))
        evidence, error, contributions = found[self.manifest.ranked_by], found[ERROR], found["contributions"]
        doubtful = np.flatnonzero(self._doubtful(evidence))
        if len(doubtful):
            exact = super().score(batch.take(doubtful))
            evidence[doubtful], error[doubtful] = exact.evidence, exact.error
            contributions[doubtful] = exact.contributions
        score = self.manifest.calibration.to_score(evidence)
        decision = self.manifest.threshold.decision(score)
        return Scores(error, evidence, score, decision > 0, decision, contributions, np.empty((len(batch), 0)))

    def _doubtful(self, evidence: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where a difference in the last digits could decide otherwise, or move the score."""
        calibration, threshold = self.manifest.calibration, self.manifest.threshold
        low, high = calibration.to_score(evidence * (1 - DOUBT)), calibration.to_score(evidence * (1 + DOUBT))
        doubtful: NDArray[np.bool_] = threshold.decision(low) != threshold.decision(high)
        return doubtful | (high - low > SCORE_DOUBT)
