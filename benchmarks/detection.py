"""Detection beside other methods: the same rows, the same seeds, one Markdown table.

    python benchmarks/detection.py                                   the tables under ../shared/data
    python benchmarks/detection.py --table mine.parquet --label is_fraud
    python benchmarks/detection.py --methods counterfoil --contamination 0.05
    python benchmarks/detection.py --tables ulb --methods counterfoil,Mahalanobis --seeds 1     (a minute)
    python benchmarks/detection.py --table mine.parquet --label is_fraud --methods Mahalanobis --seeds 1  # a tiny run
    python benchmarks/detection.py --methods "trees with labels,counterfoil with labels" --jobs 16

Methods learn from legitimate rows only, standardised by their mean and deviation, with their own defaults. Those
"with labels" learn from the fraud of the training rows, too.

- ``ulb``: per seed, train on half the legitimate rows, test on the rest and all fraud; each legitimate test row weighs
  (284,315 / 2) / their number, which restores the published tests' 0.345 % prevalence.
- ``handbook-a``, ``handbook-b``: train 2018-07-11..17 (or 07-25..31), seven days' delay, test seven days; cards
  known to be compromised leave the test set. Card precision@100 is the Fraud-Detection-Handbook's, mean over the days.
- ``handbook-raw-a``, ``handbook-raw-b``: the same weeks from the raw table, with the features of the profile
  ``handbook-raw`` computed over the whole history; the long-tailed ones compressed, as the profile says. Counterfoil
  is told which features are of behaviour, as training is.
- ``ulb-size``: as ``ulb``, but the training rows come again and again until they are 284,807, as many as the whole
  public table has: what a fit of that size takes, and whether the figures stay. PyOD's takes minutes:
  ``--tables ulb-size --methods "counterfoil,PyOD AutoEncoder" --seeds 1``.
- ``ulb-labels``: half of all rows, fraud included, to train on; tested on the other half, weighted as ``ulb``.
- any other table: half the legitimate rows, as ``ulb``, without weights.
"""

from __future__ import annotations

import argparse
import datetime as dt
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from models.behaviour.events import Behaviour
from models.normaliser import LATE
from models.schema import load_schema
from training.behaviour import remember
from training.estimator import AutoencoderOutlierDetector
from training.read import read_history

Floats = NDArray[np.float64]
Fraud = NDArray[np.int8]
_ULB_ROWS, _ULB_LEGITIMATE = 284_807, 284_315
METHODS = ("counterfoil", "PyOD AutoEncoder", "ECOD", "kNN", "LOF", "isolation forest", "PCA", "Mahalanobis")
UNSEEDED = {"ECOD", "kNN", "LOF", "Mahalanobis", "trees with labels"}
LABELLED = {"trees with labels", "counterfoil with labels"}
_STARTS = {"a": dt.date(2018, 7, 11), "b": dt.date(2018, 7, 25)}
_WEEKS = {f"handbook{kind}-{week}": start for kind in ("", "-raw") for week, start in _STARTS.items()}


class Detector(Protocol):
    """Fit on rows and on 1 where one is fraud; higher scores are more anomalous."""

    def fit(self, X: Floats, fraud: Fraud) -> None: ...
    def score(self, X: Floats) -> Floats: ...


class Counterfoil:
    def __init__(self, seed: int, causes: tuple[int, ...] | None, labels: str = "ignore") -> None:
        self._model = AutoencoderOutlierDetector(random_state=seed, causes=causes, labels=labels)

    def fit(self, X: Floats, fraud: Fraud) -> None:
        self._model.fit(X, fraud)

    def score(self, X: Floats) -> Floats:
        return -self._model.score_samples(X)


class Trees:
    """The usual way to use labels: boosted trees on the features as they are."""

    def fit(self, X: Floats, fraud: Fraud) -> None:
        self._model = HistGradientBoostingClassifier(
            learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=50, l2_regularization=1.0, early_stopping=False
        ).fit(X, fraud)

    def score(self, X: Floats) -> Floats:
        return np.asarray(self._model.decision_function(X))


class Pyod:
    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, X: Floats, fraud: Fraud) -> None:
        self._model.fit(X)

    def score(self, X: Floats) -> Floats:
        return np.asarray(self._model.decision_function(X), dtype=np.float64)


class Mahalanobis:
    def fit(self, X: Floats, fraud: Fraud) -> None:
        self._model = EmpiricalCovariance().fit(X)

    def score(self, X: Floats) -> Floats:
        return np.asarray(self._model.mahalanobis(X), dtype=np.float64)


def pyod(method: str, seed: int) -> Pyod:
    """One of PyOD's detectors, which are imported where they are asked for: they are not everywhere installed."""
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.ecod import ECOD
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN
    from pyod.models.lof import LOF
    from pyod.models.pca import PCA

    made: dict[str, Callable[[], Any]] = {
        "PyOD AutoEncoder": lambda: AutoEncoder(random_state=seed, verbose=0),
        "ECOD": ECOD,
        "kNN": KNN,
        "LOF": LOF,
        "isolation forest": lambda: IForest(random_state=seed),
        "PCA": lambda: PCA(random_state=seed),
    }
    return Pyod(made[method]())


def build(method: str, seed: int, causes: tuple[int, ...] | None) -> Detector:
    match method:
        case "counterfoil":
            return Counterfoil(seed, causes)
        case "counterfoil with labels":
            return Counterfoil(seed, causes, labels="use")
        case "trees with labels":
            return Trees()
        case "Mahalanobis":
            return Mahalanobis()
        case _:
            return pyod(method, seed)


@dataclass(frozen=True)
class Split:
    """One train and test set; ``days`` and ``cards`` of the test rows where card precision is measured.

    ``causes`` of the columns where they are behaviour features. ``shown``: the training rows with their fraud, and the
    labels, where the training part has any.
    """

    train: Floats
    test: Floats
    fraud: NDArray[np.bool_]
    weight: Floats | None = None
    days: NDArray[np.int64] | None = None
    cards: NDArray[np.int64] | None = None
    causes: tuple[int, ...] | None = None
    shown: tuple[Floats, Fraud] | None = None


def half_split(X: Floats, fraud: NDArray[np.bool_], seed: int, whole: int | None, left_in: float) -> Split:
    """Train on half the legitimate rows; ``whole`` legitimate rows of the full table set the test weights.

    A share ``left_in`` of the fraud rows moves from the test to the training rows, unlabelled.
    """
    random = np.random.default_rng(seed)
    legitimate = random.permutation(np.flatnonzero(~fraud))
    half = len(legitimate) // 2
    fraudulent = np.flatnonzero(fraud)
    if left_in:
        fraudulent = random.permutation(fraudulent)
    moved = round(left_in * len(fraudulent))
    rows = np.concatenate([legitimate[half:], fraudulent[moved:]])
    weight = None
    if whole is not None:
        weight = np.where(fraud[rows], 1.0, whole / 2 / (len(legitimate) - half))
    train = np.concatenate([legitimate[:half], fraudulent[:moved]])
    return Split(X[train], X[rows], fraud[rows], weight)


def labelled_split(X: Floats, fraud: NDArray[np.bool_], seed: int, whole: int) -> Split:
    """Train on half the rows of either kind, test on the rest; ``whole`` legitimate rows of the full table weigh it."""
    random = np.random.default_rng(seed)
    test = np.zeros(len(X), bool)
    for rows in (np.flatnonzero(~fraud), np.flatnonzero(fraud)):
        test[random.permutation(rows)[len(rows) // 2 :]] = True
    weight = np.where(fraud[test], 1.0, whole / 2 / (test & ~fraud).sum())
    shown = (X[~test], fraud[~test].astype(np.int8))
    return Split(X[~test & ~fraud], X[test], fraud[test], weight, shown=shown)


def raw_features(path: Path) -> pl.DataFrame:
    """The Handbook's raw table with the features of the profile ``handbook-raw``, transformed as the profile says."""
    schema = load_schema("handbook-raw")
    history = read_history(schema, [path])
    behaving, _ = remember(Behaviour(schema), history)
    assert behaving.behaviour is not None
    values = np.hstack([history.numeric, behaving.behaviour])
    for i, name in enumerate(schema.numeric):
        x, size = values[:, i], np.abs(values[:, i])
        match schema.numeric_column(name).transform:
            case "signed-log":
                values[:, i] = np.sign(x) * np.log1p(size)
            case "late-log":
                values[:, i] = np.where(size > LATE, np.sign(x) * LATE * (1 + np.log(np.maximum(size, LATE) / LATE)), x)
    return pl.DataFrame(values, schema=list(schema.numeric)).with_columns(
        pl.Series("TX_DATETIME", history.time).cast(pl.Datetime("us")),
        pl.Series("TX_FRAUD", history.label),
        history.entity["CUSTOMER_ID"].cast(pl.Int64),
    )


def handbook_split(table: pl.DataFrame, features: list[str], start: dt.date, seed: int, left_in: float) -> Split:
    """The Handbook's week: 7 days' training, 7 days' delay, 7 days' test without cards known to be compromised.

    A share ``left_in`` of the training week's fraud rows stays among the training rows, unlabelled.
    """
    day = (table["TX_DATETIME"].dt.date() - start).dt.total_days().to_numpy()
    card, fraud = table["CUSTOMER_ID"].to_numpy(), table["TX_FRAUD"].to_numpy() == 1
    train = (day >= 0) & (day < 7)
    known = set(card[train & fraud])
    keep = np.zeros(len(day), bool)
    for k in range(7):
        known |= set(card[(day == 7 + k - 1) & fraud])
        keep |= (day == 14 + k) & ~np.isin(card, list(known))
    X = table.select(features).to_numpy().astype(np.float64)
    shown = (X[train], fraud[train].astype(np.int8))
    unlabelled = np.random.default_rng(seed).permutation(np.flatnonzero(train & fraud))
    train &= ~fraud
    train[unlabelled[: round(left_in * len(unlabelled))]] = True
    days, cards = day[keep].astype(np.int64), card[keep].astype(np.int64)
    return Split(X[train], X[keep], fraud[keep], None, days, cards, shown=shown)


def card_precision(split: Split, score: Floats, top: int = 100) -> float:
    """Mean over days of the share of fraud among the ``top`` cards by largest score; found cards drop out."""
    assert split.days is not None and split.cards is not None
    found: set[int] = set()
    precisions = []
    for day in np.unique(split.days):
        today = (split.days == day) & ~np.isin(split.cards, list(found))
        frame = pl.DataFrame({"card": split.cards[today], "score": score[today], "fraud": split.fraud[today]})
        ranked = frame.group_by("card").agg(pl.col("score").max(), pl.col("fraud").any())
        ranked = ranked.sort(["score", "card"], descending=[True, False]).head(top)
        caught = ranked.filter(pl.col("fraud"))["card"].to_list()
        precisions.append(len(caught) / top)
        found |= set(caught)
    return float(np.mean(precisions))


def splits(name: str, args: argparse.Namespace) -> Iterator[tuple[int, Split]]:
    """(seed, split) of a table; a table with a fixed split has the same one under every seed."""
    folder = Path(args.data)
    if name in _WEEKS:
        if "raw" in name:
            table, profile = raw_features(folder / "handbook" / "transactions.parquet"), "handbook-raw"
        else:
            table, profile = pl.read_parquet(folder / "handbook" / "features.parquet"), "handbook"
        features = list(load_schema(profile).numeric)
        for seed in range(args.seeds):
            split = handbook_split(table, features, _WEEKS[name], seed, args.contamination)
            yield seed, replace(split, causes=load_schema(profile).things if "raw" in name else None)
        return
    whole: int | None
    if name in ("ulb", "ulb-size", "ulb-labels"):
        table = pl.read_parquet(folder / "ulb" / "creditcard_partial.parquet")
        X = table.select([*(f"V{i}" for i in range(1, 29)), "Amount"]).to_numpy()
        fraud, whole = table["Class"].to_numpy() == 1, _ULB_LEGITIMATE
        if "labels" in name:
            yield from ((seed, labelled_split(X, fraud, seed, whole)) for seed in range(args.seeds))
            return
    else:
        path = Path(name)
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
        fraud, whole = table[args.label].cast(pl.Int64).to_numpy() == 1, None
        X = table.drop(args.label).select(pl.selectors.numeric()).to_numpy().astype(np.float64)
    for seed in range(args.seeds):
        split = half_split(X, fraud, seed, whole, args.contamination)
        if name == "ulb-size":
            split = replace(split, train=np.resize(split.train, (_ULB_ROWS, X.shape[1])))
        yield seed, split


def measure(method: str, seed: int, split: Split, threads: int) -> list[float]:
    """ROC AUC, average precision, card precision@100 (NaN without cards), seconds of the fit and of the scoring."""
    torch.set_num_threads(threads)
    scaler = StandardScaler().fit(split.train)
    rows, fraud = split.train, np.zeros(len(split.train), np.int8)
    if method in LABELLED:
        assert split.shown is not None
        rows, fraud = split.shown
    train, test = scaler.transform(rows), scaler.transform(split.test)
    detector = build(method, seed, split.causes)
    started = time.perf_counter()
    detector.fit(train, fraud)
    fitted = time.perf_counter()
    score = detector.score(test)
    ended = time.perf_counter()
    return [
        float(roc_auc_score(split.fraud, score, sample_weight=split.weight)),
        float(average_precision_score(split.fraud, score, sample_weight=split.weight)),
        card_precision(split, score) if split.cards is not None else float("nan"),
        fitted - started,
        ended - fitted,
    ]


def run(name: str, methods: list[str], pool: ProcessPoolExecutor, args: argparse.Namespace) -> None:
    """Measure every method on one table and print its part of the report."""
    measured: dict[str, list[Future[list[float]]]] = {}
    prevalence = rows = trained = 0.0
    for seed, split in splits(name, args):
        weight = np.ones(len(split.test)) if split.weight is None else split.weight
        prevalence = float(weight[split.fraud].sum() / weight.sum())
        rows, trained = len(split.test), len(split.train)
        for method in methods:
            if seed and name in _WEEKS and method in UNSEEDED and not args.contamination:
                continue  # the same rows and no seed: the same figures again
            if method in LABELLED and split.shown is None:
                continue
            measured.setdefault(method, []).append(pool.submit(measure, method, seed, split, args.threads))
    figures = {method: [one.result() for one in found] for method, found in measured.items()}
    sizes = f"{trained:,.0f} legitimate training rows, {rows:,.0f} test rows, {prevalence:.3%} fraud"
    print(f"\n**{name}**: {sizes}, seeds 0–{args.seeds - 1}\n")
    cards = np.isfinite(next(iter(figures.values()))[0][2])
    print(f"| method | ROC AUC | AP |{' card precision@100 |' if cards else ''} fit s | score s |")
    print(f"|---|---|---|{'---|' if cards else ''}---|---|")
    for method, values in figures.items():
        mean, std = np.mean(values, axis=0), np.std(values, axis=0)
        shown = [f"{mean[i]:.3f} ± {std[i]:.3f}" for i in (0, 1, *((2,) if cards else ()))]
        shown += [f"{np.median([v[i] for v in values]):.1f}" for i in (3, 4)]
        print(f"| {method} | {' | '.join(shown)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data", help="folder of the handbook and ulb tables")
    parser.add_argument("--tables", default="ulb,ulb-labels,handbook-a,handbook-b,handbook-raw-a,handbook-raw-b")
    parser.add_argument("--table", help="any CSV or Parquet table instead")
    parser.add_argument("--label", default="label", help="its label column, 1 = fraud")
    parser.add_argument("--methods", default=",".join([*METHODS, *sorted(LABELLED)]), help="some, comma-separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--contamination", type=float, default=0.0, help="share of the fraud left in the training rows")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of each fit")
    parser.add_argument("--jobs", type=int, default=1, help="fits at once; more than one leaves no honest times")
    args = parser.parse_args()
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name in [args.table] if args.table else args.tables.split(","):
            run(name, args.methods.split(","), pool, args)


if __name__ == "__main__":
    main()
