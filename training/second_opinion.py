"""Fit :class:`models.second_opinion.SecondOpinion`: trees on labels, and the tails of both opinions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.detector import FraudDetector, run_torch
from models.errors import InvalidInput
from models.manifest import SecondOpinionRecord
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from models.second_opinion import SecondOpinion, Tail, tree_inputs
from models.trees import Trees
from training.ranking import rank_metrics

if TYPE_CHECKING:
    from sklearn.ensemble import HistGradientBoostingClassifier

#: Share of any budget of alerts for the first opinion, unless the user says otherwise.
NOVEL_SHARE = 0.3
#: Labelled fraud rows that trees need, and that the gate needs to judge them.
MIN_FRAUD, MIN_JUDGED = 50, 10
#: Legitimate rows that are looked at; of more, evenly spaced ones.
MAX_LEGITIMATE = 100_000
_FOLDS = 3
_BLOCK_ROWS = 8_192
#: Points of a tail, and rows beyond the last; there it is no steeper than one e-fold over this share of the last point.
_BENDS, _TAIL_ROWS, _STEEPEST = 32, 20, 0.01


@dataclass(frozen=True)
class Lesson:
    """What growing the trees showed of the rows they were grown on, each seen by trees that were grown without it.

    Attributes:
        judgement: how both opinions rank them.
        legitimate: evidence of the legitimate rows.
    """

    judgement: Judgement
    legitimate: NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """How the two opinions rank rows that the second was not made from.

    Attributes:
        rows, fraud: labelled rows, and the fraud among them.
        first, both: average precision of the reconstruction error alone, and of the evidence.
    """

    rows: int
    fraud: int
    first: float
    both: float

    @property
    def better(self) -> bool:
        """Whether the second opinion is worth having."""
        return self.both > self.first


def judge(label: NDArray[np.int8], error: NDArray[np.float64], evidence: NDArray[np.float64]) -> Judgement:
    """Compare on the rows of known label; with no fraud among them nothing is better."""
    known = label != UNKNOWN
    fraud = label[known] == FRAUD
    if not fraud.any() or fraud.all():
        return Judgement(len(fraud), int(fraud.sum()), 0.0, 0.0)
    first, both = (rank_metrics(rank[known], fraud)[1] for rank in (error, evidence))
    return Judgement(len(fraud), int(fraud.sum()), first, both)


def add_second_opinion(
    detector: FraudDetector,
    train: tuple[Batch, NDArray[np.int8]],
    later: tuple[Batch, NDArray[np.int8]],
    *,
    share: float,
    seed: int,
) -> SecondOpinionRecord:
    """Give a fitted detector a second opinion if a later part of the data says that both rank better than the first.

    Args:
        train: rows and labels that the second opinion is made from.
        later: rows and labels of a consecutive part after them, which judges it.
        share: of any budget of alerts, for the first opinion.

    Raises:
        InvalidInput: a share that is none.
    """
    if not 0 < share < 1:
        raise InvalidInput("novel share: must be between 0 and 1, both excluded")
    fraud, legitimate = (int((train[1] == kind).sum()) for kind in (FRAUD, LEGITIMATE))
    judged = Judgement(int((later[1] != UNKNOWN).sum()), int((later[1] == FRAUD).sum()), 0.0, 0.0)
    if fraud < MIN_FRAUD or legitimate < MIN_FRAUD:
        few = f"{fraud:,} labelled fraud and {legitimate:,} legitimate rows in the train part"
        why = f"{few}, at least {MIN_FRAUD} of each are needed"
    elif judged.fraud < MIN_JUDGED:
        why = f"{judged.fraud:,} labelled fraud rows in the calibration part, {MIN_JUDGED} are needed to judge it"
    elif fit_second_opinion(detector, *train, share, seed) is None:
        why = "the features say nothing of the labels"
    else:
        judged = _judge_later(detector, *later)
        better = "better" if judged.better else "not better"
        why = (
            f"{better} on the {judged.rows:,} rows of the calibration part, {judged.fraud:,} of them fraud: average "
            f"precision {judged.both:.3f} with it, {judged.first:.3f} without"
        )
        if not judged.better:
            detector.second = None
    return SecondOpinionRecord(
        used=detector.second is not None,
        why=why,
        fraud=fraud,
        legitimate=legitimate,
        novel_share=share,
        gate_rows=judged.rows,
        gate_fraud=judged.fraud,
        first=judged.first,
        both=judged.both,
    )


def _judge_later(detector: FraudDetector, batch: Batch, label: NDArray[np.int8]) -> Judgement:
    ranks = [
        run_torch(detector, batch.take(slice(start, start + _BLOCK_ROWS)))
        for start in range(0, len(batch), _BLOCK_ROWS)
    ]
    error, *_, evidence = (np.concatenate(parts) for parts in zip(*ranks, strict=True))
    return judge(label, error, evidence)


def fit_second_opinion(
    detector: FraudDetector, batch: Batch, label: NDArray[np.int8], share: float, seed: int
) -> Lesson | None:
    """Give a fitted detector a second opinion.

    The tails of both opinions are those of the legitimate rows, of the second by trees that were grown without them:
    the rows of either label are cut into consecutive folds.

    Args:
        batch: rows in time order, if they have one.
        label: [n], FRAUD, LEGITIMATE or UNKNOWN; rows of unknown label are not looked at. At least
            :data:`MIN_FRAUD` are fraud.
        share: of the budget of alerts, for the first opinion.

    Returns:
        None where the features say nothing of the labels; the detector is left as it is then.
    """
    legitimate = np.flatnonzero(label == LEGITIMATE)
    legitimate = legitimate[:: -(-len(legitimate) // MAX_LEGITIMATE)]
    rows = np.sort(np.concatenate([legitimate, np.flatnonzero(label == FRAUD)]))
    fraud = label[rows] == FRAUD
    fold = np.empty(len(rows), np.int64)
    for kind in (fraud, ~fraud):
        fold[kind] = np.arange(kind.sum()) * _FOLDS // kind.sum()
    inputs, novel = look(detector, batch.take(rows))
    width = detector.owner.shape[0]
    out_of_fold = np.empty(len(rows))
    for held_out in range(_FOLDS):
        inside = fold != held_out
        grown = grow(inputs[inside], fraud[inside], width, seed)
        out_of_fold[~inside] = odds(grown, inputs[~inside])
    grown_trees = as_trees(*grow(inputs, fraud, width, seed))
    if grown_trees is None:
        return None
    trees, constant, lowest = grown_trees
    known = np.maximum(out_of_fold - constant - lowest, 0)
    second = SecondOpinion(trees, lowest, tail(novel[~fraud]), tail(known[~fraud]), share)
    detector.second = second
    evidence = second.combine(torch.from_numpy(novel)[:, None], torch.from_numpy(known)[:, None]).numpy()
    return Lesson(judge(label[rows], novel, evidence), evidence[~fraud])


def tail(values: NDArray[np.float64]) -> Tail:
    """−log of the tail probability of ``values`` [n] among themselves.

    Empirical, p(v) = (1 + number of values >= v) / (n + 1), at levels evenly spaced in its logarithm; beyond the last
    twenty exponential, with their mean excess.
    """
    ordered = np.sort(values)
    count = len(ordered)
    levels = np.geomspace(1, min(_TAIL_ROWS, count // 5) / count, _BENDS)
    x = np.unique(ordered[np.minimum(count - np.round(levels * count).astype(np.int64), count - 1)])
    y = -np.log((count - np.searchsorted(ordered, x) + 1) / (count + 1))
    excess = ordered[ordered > x[-1]] - x[-1]
    scale = max(float(excess.mean()) if len(excess) else 0.0, _STEEPEST * float(x[-1]), 1e-9)
    return Tail(torch.from_numpy(x), torch.from_numpy(y), 1 / scale)


def look(detector: FraudDetector, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the trees look at [n, inputs], and how far the first opinion goes [n]."""
    inputs, novel = [], []
    for start in range(0, len(batch), _BLOCK_ROWS):
        first = detector.look(batch.take(slice(start, start + _BLOCK_ROWS)))
        inputs.append(tree_inputs(first.x, first.contributions, first.error, first.code).numpy())
        novel.append(torch.log1p(first.error).numpy())
    return np.concatenate(inputs), np.concatenate(novel)


def grow(
    inputs: NDArray[np.float64], fraud: NDArray[np.bool_], width: int, seed: int
) -> list[HistGradientBoostingClassifier]:
    """Two classifiers: of the features alone, the first ``width`` inputs, and of all."""
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 - takes seconds, and most need none

    return [
        HistGradientBoostingClassifier(
            learning_rate=0.05,
            max_iter=100,
            max_leaf_nodes=15,
            min_samples_leaf=50,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=seed,
        ).fit(inputs[:, :seen], fraud)
        for seen in (width, inputs.shape[1])
    ]


def odds(models: Sequence[HistGradientBoostingClassifier], inputs: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean log-odds [n] of classifiers of the first inputs."""
    each = [model.decision_function(inputs[:, : model.n_features_in_]) for model in models]
    return np.asarray(np.mean(each, axis=0), dtype=np.float64)


def as_trees(*models: HistGradientBoostingClassifier) -> tuple[Trees, float, float] | None:
    """The trees of classifiers of two classes, fitted on the first columns of one table without missing values.

    Returns:
        The trees, what has to be added to their sum to get the mean of the log-odds, and the smallest sum; None where
        no tree has a branch.
    """
    constant = float(np.mean([model._baseline_prediction.ravel()[0] for model in models]))
    trees = [predictor.nodes for model in models for (predictor,) in model._predictors]
    constant += sum(float(nodes["value"][0]) for nodes in trees if len(nodes) == 1) / len(models)
    trees = [nodes for nodes in trees if len(nodes) > 1]
    if not trees:
        return None
    roots = np.cumsum([0, *(len(nodes) for nodes in trees[:-1])])
    whole = np.concatenate(trees)
    own, base = np.arange(len(whole)), np.repeat(roots, [len(nodes) for nodes in trees])
    leaf = whole["is_leaf"] == 1
    value = np.where(leaf, whole["value"] / len(models), 0.0)
    lowest = sum(float(nodes["value"][nodes["is_leaf"] == 1].min()) for nodes in trees) / len(models)
    return (
        Trees(
            feature=np.where(leaf, 0, whole["feature_idx"]).astype(np.int64),
            threshold=np.where(leaf, 0.0, whole["num_threshold"]),
            left=np.where(leaf, own, whole["left"] + base).astype(np.int64),
            right=np.where(leaf, own, whole["right"] + base).astype(np.int64),
            value=value,
            roots=roots,
        ),
        constant,
        lowest,
    )
