"""Scorer: the one way from a transaction to a score, for the API, the CSV, evaluation and whatever comes next."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle, load_bundle
from models.errors import InvalidBundle
from models.graph import Graph, part_of
from models.manifest import DETECTOR, ERROR, EVIDENCE, GOLDEN, GOLDEN_TOLERANCE, MANIFEST, Manifest
from models.reasons import Explainer, Reason, Verified, largest, put_back
from models.rows import Batch, Vocabulary
from models.schema import FLOAT32_MAX, TransactionSchema
from models.single_precision import in_float32
from models.thresholds import DECISIONS

#: Causes of an alert that are put back to find its reasons: those with the largest shares of the error.
CANDIDATES = 32
#: An extreme value pulls its own reconstruction along, so what is expected is asked for again with the features put
#: back, once for each of these. Of the causes, those stay whose putting back lowers the error by at least this share of
#: what the last of the reasons asked for does, and those that jump: to another category, weekday or hour. What a second
#: opinion's trees say jumps with any of them, so all stay.
KEPT = {ERROR: (0.15, 0.35, 0.5), EVIDENCE: (0.0, 0.0, 0.0)}
#: Expected values are settled in float32 where it says of the golden rows what float64 says, to this share.
ROUGHLY = 1e-4
#: Alerts whose reasons are found together.
_AT_ONCE = 32


@dataclass(frozen=True)
class Scores:
    """What the detector says of a batch; arrays over its rows.

    Attributes:
        error: float64 [n], the reconstruction error, >= 0.
        evidence: float64 [n] >= 0, what the score is the rank of: the error, or what both opinions say together.
        score: float64 [n] in [0, 1), higher = more anomalous.
        is_anomaly: bool [n], score >= threshold.
        decision: int8 [n], position in :data:`models.thresholds.DECISIONS`.
        contributions: float64 [n, features], sums to the error over the features.
        expected: float64 [n, features], the reconstruction in the user's own units; for categories the position in the
            vocabulary, for cycles the hour [0, 24) or the weekday [0, 7), Monday = 0; [n, 0] if not asked for.
    """

    error: NDArray[np.float64]
    evidence: NDArray[np.float64]
    score: NDArray[np.float64]
    is_anomaly: NDArray[np.bool_]
    decision: NDArray[np.int8]
    contributions: NDArray[np.float64]
    expected: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A row of a batch whose reasons are wanted: at most ``top`` of them; ``verify``: also say what the score would be
    with each reason put back."""

    row: int
    top: int
    verify: bool = False


class Scorer:
    """A loaded model version. Thread-safe; nothing in it changes after the constructor.

    Args:
        bundle: a verified bundle.
        threads: blocks of a batch scored at the same time; a single row always takes one.

    Raises:
        InvalidBundle: the graph does not load, or the golden rows do not come out as recorded.
    """

    def __init__(self, bundle: Bundle, *, threads: int = 1) -> None:
        self.bundle = bundle
        self.manifest: Manifest = bundle.manifest
        self.schema = bundle.manifest.transaction_schema
        self.vocabulary: Vocabulary = bundle.manifest.vocabulary_codes()
        self.graph = Graph(bundle.detector, threads=threads)
        self._explainer = Explainer(self.schema, self.vocabulary)
        columns = [self.schema.numeric_column(name) for name in self.schema.numeric]
        self._bounds = (
            np.array([-FLOAT32_MAX if column.minimum is None else column.minimum for column in columns]),
            np.array([FLOAT32_MAX if column.maximum is None else column.maximum for column in columns]),
        )
        self._replay_golden()
        self._reach_vocabulary()

    @staticmethod
    def load(path: Path, *, threads: int = 1) -> Scorer:
        """Read, verify and open the version in a folder.

        Raises:
            InvalidBundle: naming the file and the check that failed.
        """
        return Scorer(load_bundle(path), threads=threads)

    def with_schema(self, schema: TransactionSchema) -> Scorer:
        """The same model with a schema that has what its keys are hashed with."""
        other = copy.copy(self)
        other.schema = schema
        return other

    def score(self, batch: Batch, *, explain: bool = False) -> Scores:
        """Score a batch of any size, 0 rows included.

        Args:
            explain: also say what was expected, for :meth:`reasons`; a third more work.
        """
        outputs = (self.manifest.ranked_by, ERROR, "contributions", *(("expected",) if explain else ()))
        evidence, error, contributions, *others = self.graph.run(batch, *outputs)
        expected = others[0] if explain else np.empty((len(batch), 0))
        score = self.manifest.calibration.to_score(evidence)
        threshold = self.manifest.threshold
        decision = threshold.decision(score)
        return Scores(error, evidence, score, decision > 0, decision, contributions, expected)

    def evidence(self, batch: Batch) -> NDArray[np.float64]:
        """What the scores are the ranks of, [n], alone."""
        return self.graph.run(batch, self.manifest.ranked_by)[0]

    def codes(self, batch: Batch) -> NDArray[np.float64]:
        """The code h = f(x) [n, code size] of the ensemble's first member, as extracted features."""
        return self.graph.run(batch, "code")[0]

    def reasons(self, batch: Batch, scores: Scores, row: int, top: int, *, verify: bool = False) -> list[Reason]:
        """:meth:`reasons_of` one row."""
        return self.reasons_of(batch, scores, [Asked(row, top, verify)])[0]

    def reasons_of(self, batch: Batch, scores: Scores, asked: Sequence[Asked]) -> list[list[Reason]]:
        """Why rows are as unusual as they are, each in as many causes as are asked for, or fewer; the windows of one
        word are one cause.

        An alert's reasons are ordered by how much the error falls when the cause's features are put back to what is
        expected: an unusual value also spoils the reconstruction of innocent features, whose share of the error is then
        large while putting them back changes nothing. Other rows' reasons are ordered by share, which costs nothing
        more.

        Args:
            scores: of the batch, from :meth:`score`; with ``explain`` where many rows are asked about.
        """
        found: dict[int, list[Reason]] = {i: [] for i, one in enumerate(asked) if not one.top}
        searched = [i for i, one in enumerate(asked) if one.top and (one.verify or scores.is_anomaly[one.row])]
        for start in range(0, len(searched), _AT_ONCE):
            some = searched[start : start + _AT_ONCE]
            found |= zip(some, self._searched(batch, scores, [asked[i] for i in some]), strict=True)
        tell = self._explainer
        for i, one in enumerate(asked):
            if i not in found:
                parts, expected = scores.contributions[one.row], self._possible(self._told(batch, scores, [one]))[0]
                causes = largest(tell.parts(parts), one.top).tolist()
                found[i] = [tell.reason(batch, one.row, parts, expected, cause) for cause in causes]
        return [found[i] for i in range(len(asked))]

    def _searched(self, batch: Batch, scores: Scores, asked: Sequence[Asked]) -> list[list[Reason]]:
        """The causes that matter most when put back, of all rows in the same runs of the graph. Those that settle on
        little are given up on the way, see :data:`KEPT`."""
        tell, told = self._explainer, self._told(batch, scores, asked)
        candidates = [
            self._candidates(batch, scores, told[i : i + 1], one.row, max(one.top, CANDIDATES))
            for i, one in enumerate(asked)
        ]
        of = np.repeat(np.arange(len(asked)), [len(some) for some in candidates])
        causes, rows = np.concatenate(candidates), np.array([one.row for one in asked])[of]
        tops = np.array([one.top for one in asked])
        settled, chosen = self._possible(told[of]), tell.features_of(causes)
        again = put_back(self.schema, batch.take(rows), settled, chosen)
        for kept in KEPT[self.manifest.ranked_by]:
            expected, evidence = self._settled(again)
            settled = self._possible(expected)
            following = put_back(self.schema, batch.take(rows), settled, chosen)
            drops = scores.evidence[rows] - evidence
            stay = _promising(drops, of, tops, kept) | _jumps(again, following)
            of, causes, rows, settled, chosen = of[stay], causes[stay], rows[stay], settled[stay], chosen[stay]
            again = following.take(stay)
        after = self.score(again)
        results = []
        for i, one in enumerate(asked):
            mine = np.flatnonzero(of == i)
            best, parts = mine[largest(-after.evidence[mine], one.top)], scores.contributions[one.row]
            reasons = [tell.reason(batch, one.row, parts, settled[j], int(causes[j])) for j in best]
            if one.verify:
                reasons = [
                    _verified(reason, scores, one.row, after, j) for reason, j in zip(reasons, best, strict=True)
                ]
            results.append(reasons)
        return results

    def _settled(self, again: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is expected of rows, and their evidence, to about six digits."""
        wanted = "expected", self.manifest.ranked_by
        expected, evidence = self._rough.run(again, *wanted)
        if not np.isfinite(evidence).all():  # beyond what float32 holds
            expected, evidence = self.graph.run(again, *wanted)
        return expected, evidence

    @cached_property
    def _rough(self) -> Graph:
        ranked_by, golden = self.manifest.ranked_by, self.bundle.golden.batch()
        try:
            graph = Graph(in_float32(part_of(self.bundle.detector, frozenset((ranked_by, "expected")))))
            found = graph.run(golden, ranked_by)[0]
        except InvalidBundle:
            return self.graph
        exact = self.evidence(golden)
        about = ROUGHLY * np.maximum(exact, np.median(exact))
        return graph if (np.abs(found - exact) <= about).all() else self.graph

    def _told(self, batch: Batch, scores: Scores, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """What was expected of the rows."""
        rows = np.array([one.row for one in asked])
        return scores.expected[rows] if scores.expected.size else self.graph.run(batch.take(rows), "expected")[0]

    def _candidates(
        self, batch: Batch, scores: Scores, told: NDArray[np.float64], row: int, count: int
    ) -> NDArray[np.int64]:
        """Causes that may be why a row alerts: those with the largest shares of the error; with a second opinion,
        which may be of another mind, those that change the evidence most when put back once."""
        tell = self._explainer
        if self.manifest.ranked_by == ERROR or len(tell.members) <= count:
            return largest(tell.parts(scores.contributions[row]), count)
        every = np.arange(len(tell.members))
        rows = np.full(len(every), row)
        expected = self._possible(told.repeat(len(every), axis=0))
        again = put_back(self.schema, batch.take(rows), expected, tell.features_of(every))
        return largest(-self.evidence(again), count)

    def _possible(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """Expected values within the bounds that the schema sets for numbers."""
        numbers = len(self.schema.numeric)
        bounded = expected.copy()
        bounded[:, :numbers] = np.clip(expected[:, :numbers], *self._bounds)
        return bounded

    def _replay_golden(self) -> None:
        golden = self.bundle.golden
        try:
            error, contributions = self.graph.run(golden.batch(), ERROR, "contributions")
            evidence = self.evidence(golden.batch()) if golden.evidence else np.empty(0)
        except Exception as failure:  # noqa: BLE001 - see above
            raise InvalidBundle(
                DETECTOR, "runs", f"the graph does not run on the golden rows: {type(failure).__name__}"
            ) from None
        recorded = np.array(golden.error)
        scale = np.maximum(np.abs(recorded), 1e-12)
        off = np.abs(error - recorded) / scale
        parts = np.abs(contributions - np.array(golden.contributions)) / scale[:, None]
        both = np.abs(evidence - np.array(golden.evidence)) / np.maximum(np.array(golden.evidence), 1e-12)
        worst = max(float(off.max()), float(parts.max()), float(both.max(initial=0)))
        if not (np.isfinite(error).all() and worst <= GOLDEN_TOLERANCE):
            raise InvalidBundle(
                GOLDEN,
                "golden rows",
                "this machine does not reproduce the recorded outputs; do not use the version",
            )

    def _reach_vocabulary(self) -> None:
        last = np.array([[len(values) for values in self.vocabulary.values]], dtype=np.int64)
        row = Batch(np.zeros((1, len(self.schema.numeric))), last, np.zeros(1, dtype=np.int64))
        try:
            error = self.graph.run(row, ERROR)[0]
        except Exception:  # noqa: BLE001 - see above
            error = np.array([np.nan])
        if not np.isfinite(error).all():
            raise InvalidBundle(MANIFEST, "vocabulary", "the graph does not know all of its values")


def _promising(
    drops: NDArray[np.float64], of: NDArray[np.int64], tops: NDArray[np.int64], kept: float
) -> NDArray[np.bool_]:
    """Which causes may still be among the ``tops`` of the row that they are ``of``; ``of`` ascends, no row lacks."""
    if not kept:
        return np.ones(len(drops), bool)
    counts = np.bincount(of)
    last = counts.cumsum() - counts + np.minimum(tops, counts) - 1
    least = drops[np.lexsort((-drops, of))][last]
    too_little: NDArray[np.bool_] = drops < np.where(least > 0, least * kept, least / kept)[of]
    return ~too_little


def _jumps(before: Batch, after: Batch) -> NDArray[np.bool_]:
    """Which rows have other categories or another time now."""
    jumps: NDArray[np.bool_] = (before.categorical != after.categorical).any(1) | (before.time != after.time)
    return jumps


def _verified(reason: Reason, scores: Scores, row: int, after: Scores, i: int) -> Reason:
    score, decision = float(after.score[i]), int(after.decision[i])
    flips = decision != int(scores.decision[row])
    return replace(reason, verified=Verified(score, float(scores.score[row]) - score, DECISIONS[decision], flips))
