"""The drill: is fraud found whose labels the second opinion was never shown? Recall scenario by scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from models.detector import FraudDetector
from models.rows import FRAUD, LEGITIMATE, Batch
from models.second_opinion import SecondOpinion
from training.second_opinion import MAX_LEGITIMATE, MIN_FRAUD, as_trees, grow, look, odds, tail

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

#: The most frequent scenarios are drilled; each one grows the trees again.
_MOST_SCENARIOS = 8


@dataclass(frozen=True)
class Part:
    """Encoded rows, their labels [n], and the names of their fraud scenarios [n], empty where none is recorded."""

    batch: Batch
    label: NDArray[np.int8]
    scenario: NDArray[np.str_]


@dataclass(frozen=True)
class Unshown:
    """Recall on a scenario's fraud, with the same share of legitimate rows alerted each time.

    Attributes:
        scenario: its name.
        rows: its fraud rows in the part that is measured on.
        alone: by the reconstruction error alone.
        unshown, shown: by both opinions, of trees grown without and with labels of the scenario.
    """

    scenario: str
    rows: int
    alone: float
    unshown: float
    shown: float


def drill(
    detector: FraudDetector, train: Part, later: Part, test: Part, *, alert_rate: float, share: float, seed: int
) -> tuple[Unshown, ...]:
    """Hide the labels of each scenario in turn from the second opinion of a detector, and measure on the test part.

    Args:
        detector: with a second opinion, which stays as it is.
        train: what the trees are grown on.
        later: its legitimate rows say how the trees without a scenario rank what they have not seen.
        alert_rate: of the legitimate test rows, in (0, 1).
        share: of the budget of alerts, for the first opinion.
        seed: of the trees.

    Returns:
        The scenarios of the test part, most frequent first, that leave enough labels when hidden.
    """
    whole = detector.second
    assert whole is not None
    fraud, hidden_from = test.label == FRAUD, train.label == FRAUD
    names, counts = np.unique(test.scenario[fraud & (test.scenario != "")], return_counts=True)
    left = {name: int((hidden_from & (train.scenario != name)).sum()) for name in names}
    frequent = [str(name) for name in names[np.argsort(-counts, kind="stable")] if left[name] >= MIN_FRAUD]
    if not frequent or not (test.label == LEGITIMATE).any():
        return ()
    legitimate = _evenly(np.flatnonzero(train.label == LEGITIMATE))
    rows = np.sort(np.concatenate([legitimate, np.flatnonzero(hidden_from)]))
    inputs, _ = look(detector, train.batch.take(rows))
    others, _ = look(detector, later.batch.take(_evenly(np.flatnonzero(later.label == LEGITIMATE))))
    seen, novel = look(detector, test.batch)
    width = detector.owner.shape[0]
    far = torch.from_numpy(novel)[:, None]

    def recall(rank: NDArray[np.float64], of: NDArray[np.bool_]) -> float:
        threshold = np.quantile(rank[test.label == LEGITIMATE], 1 - alert_rate)
        return float((rank[of] >= threshold).mean())

    def ranked(trees: Sequence[HistGradientBoostingClassifier]) -> NDArray[np.float64] | None:
        """Evidence of the test rows."""
        grown = as_trees(*trees)
        if grown is None:
            return None
        forest, constant, lowest = grown
        known, usual = (np.maximum(odds(trees, table) - constant - lowest, 0) for table in (seen, others))
        second = SecondOpinion(forest, lowest, whole.novel, tail(usual), share)
        evidence: NDArray[np.float64] = second.combine(far, torch.from_numpy(known)[:, None]).numpy()
        return evidence

    shown = ranked(grow(inputs, hidden_from[rows], width, seed))
    found = []
    for name in frequent[:_MOST_SCENARIOS]:
        kept = ~(hidden_from[rows] & (train.scenario[rows] == name))
        unshown = ranked(grow(inputs[kept], hidden_from[rows][kept], width, seed))
        if shown is not None and unshown is not None:
            own = fraud & (test.scenario == name)
            found.append(Unshown(name, int(own.sum()), *(recall(rank, own) for rank in (novel, unshown, shown))))
    return tuple(found)


def scenario_names(column: pl.Series) -> NDArray[np.str_]:
    """The scenarios as they are compared: trimmed, empty where none is recorded."""
    return column.fill_null("").str.strip_chars().to_numpy().astype(np.str_)


def _evenly(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rows[:: max(1, -(-len(rows) // MAX_LEGITIMATE))]
