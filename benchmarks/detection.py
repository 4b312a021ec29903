"""Detection beside other methods: the same rows, the same seeds, one Markdown table.

    python benchmarks/detection.py                                   the tables under ../shared/data
    python benchmarks/detection.py --table mine.parquet --label is_fraud
    python benchmarks/detection.py --methods counterfoil --contamination 0.05
    python benchmarks/detection.py --tables ulb --methods counterfoil,mahalanobis --seeds 1     (a minute)

Every method learns from legitimate rows only, standardised by their mean and deviation, with its own defaults.

- ``ulb``: per seed, train on half the legitimate rows, test on the rest and all fraud; each legitimate test row weighs
  (284,315 / 2) / their number, which restores the published tests' 0.345 % prevalence.
- ``handbook-a``, ``handbook-b``: train 2018-07-11..17 (or 07-25..31), seven days' delay, test seven days; cards
  known to be compromised leave the test set. Card precision@100 is the Fraud-Detection-Handbook's, mean over the days.
- ``handbook-raw-a``, ``handbook-raw-b``: the same weeks from the raw table, with the features of the profile
  ``handbook-raw`` computed over the whole history; the long-tailed ones compressed, as the profile says. Counterfoil
  is told which features are of behaviour, as training is.
- any other table: half the legitimate rows, as ``ulb``, without weights.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from models.behaviour.events import Behaviour
from models.normaliser import LATE
from models.schema import load_schema
from training.behaviour import remember
from training.estimator import AutoencoderOutlierDetector
from training.read import read_history

Floats = NDArray[np.float64]
_ULB_LEGITIMATE = 284_315
UNSEEDED = {"ECOD", "kNN", "LOF", "Mahalanobis"}
_STARTS = {"a": dt.date(2018, 7, 11), "b": dt.date(2018, 7, 25)}
_WEEKS = {f"handbook{kind}-{week}": start for kind in ("", "-raw") for week, start in _STARTS.items()}


class Detector(Protocol):
    """Fit on legitimate rows; higher scores are more anomalous."""

    def fit(self, X: Floats) -> None: ...
    def score(self, X: Floats) -> Floats: ...


class Counterfoil:
    def __init__(self, seed: int, causes: tuple[int, ...] | None = None) -> None:
        self._model = AutoencoderOutlierDetector(random_state=seed, causes=causes)

    def fit(self, X: Floats) -> None:
        self._model.fit(X)

    def score(self, X: Floats) -> Floats:
        return -self._model.score_samples(X)


class Pyod:
    def __init__(self, model: Any) -> None:
        self._model = model

    def fit(self, X: Floats) -> None:
        self._model.fit(X)

    def score(self, X: Floats) -> Floats:
        return np.asarray(self._model.decision_function(X), dtype=np.float64)


class Mahalanobis:
    def fit(self, X: Floats) -> None:
        self._model = EmpiricalCovariance().fit(X)

    def score(self, X: Floats) -> Floats:
        return np.asarray(self._model.mahalanobis(X), dtype=np.float64)


def methods() -> dict[str, Callable[[int], Detector]]:
    """The detectors by name, each made from a seed."""
    from pyod.models.auto_encoder import AutoEncoder
    from pyod.models.ecod import ECOD
    from pyod.models.iforest import IForest
    from pyod.models.knn import KNN
    from pyod.models.lof import LOF
    from pyod.models.pca import PCA

    return {
        "counterfoil": Counterfoil,
        "PyOD AutoEncoder": lambda seed: Pyod(AutoEncoder(random_state=seed, verbose=0)),
        "ECOD": lambda _: Pyod(ECOD()),
        "kNN": lambda _: Pyod(KNN()),
        "LOF": lambda _: Pyod(LOF()),
        "isolation forest": lambda seed: Pyod(IForest(random_state=seed)),
        "PCA": lambda seed: Pyod(PCA(random_state=seed)),
        "Mahalanobis": lambda _: Mahalanobis(),
    }


@dataclass(frozen=True)
class Split:
    """One train and test set; ``days`` and ``cards`` of the test rows where card precision is measured.

    ``causes`` of the columns where they are behaviour features.
    """

    train: Floats
    test: Floats
    fraud: NDArray[np.bool_]
    weight: Floats | None = None
    days: NDArray[np.int64] | None = None
    cards: NDArray[np.int64] | None = None
    causes: tuple[int, ...] | None = None


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
    unlabelled = np.random.default_rng(seed).permutation(np.flatnonzero(train & fraud))
    train &= ~fraud
    train[unlabelled[: round(left_in * len(unlabelled))]] = True
    return Split(X[train], X[keep], fraud[keep], None, day[keep].astype(np.int64), card[keep].astype(np.int64))


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
    if name == "ulb":
        table = pl.read_parquet(folder / "ulb" / "creditcard_partial.parquet")
        X = table.select([*(f"V{i}" for i in range(1, 29)), "Amount"]).to_numpy()
        fraud, whole = table["Class"].to_numpy() == 1, _ULB_LEGITIMATE
    else:
        path = Path(name)
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
        fraud, whole = table[args.label].cast(pl.Int64).to_numpy() == 1, None
        X = table.drop(args.label).select(pl.selectors.numeric()).to_numpy().astype(np.float64)
    yield from ((seed, half_split(X, fraud, seed, whole, args.contamination)) for seed in range(args.seeds))


def run(name: str, make: dict[str, Callable[[int], Detector]], args: argparse.Namespace) -> None:
    """Measure every method on one table and print its part of the report."""
    figures: dict[str, list[list[float]]] = {method: [] for method in make}
    prevalence = rows = trained = 0.0
    for seed, split in splits(name, args):
        scaler = StandardScaler().fit(split.train)
        train, test = scaler.transform(split.train), scaler.transform(split.test)
        weight = np.ones(len(test)) if split.weight is None else split.weight
        prevalence, rows, trained = float(weight[split.fraud].sum() / weight.sum()), len(test), len(train)
        for method, build in make.items():
            if seed and name in _WEEKS and method in UNSEEDED and not args.contamination:
                continue  # the same rows and no seed: the same figures again
            detector = build(seed) if method != "counterfoil" else Counterfoil(seed, split.causes)
            started = time.perf_counter()
            detector.fit(train)
            fitted = time.perf_counter()
            score = detector.score(test)
            ended = time.perf_counter()
            figures[method].append(
                [
                    float(roc_auc_score(split.fraud, score, sample_weight=split.weight)),
                    float(average_precision_score(split.fraud, score, sample_weight=split.weight)),
                    card_precision(split, score) if split.cards is not None else float("nan"),
                    fitted - started,
                    ended - fitted,
                ]
            )
    sizes = f"{trained:,.0f} training rows, {rows:,.0f} test rows, {prevalence:.3%} fraud"
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
    parser.add_argument("--tables", default="ulb,handbook-a,handbook-b,handbook-raw-a,handbook-raw-b")
    parser.add_argument("--table", help="any CSV or Parquet table instead")
    parser.add_argument("--label", default="label", help="its label column, 1 = fraud")
    parser.add_argument("--methods", default="", help="some of the methods, comma-separated; default all")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--contamination", type=float, default=0.0, help="share of the fraud left in the training rows")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    make = methods()
    if args.methods:
        make = {name: make[name] for name in args.methods.split(",")}
    for name in [args.table] if args.table else args.tables.split(","):
        run(name, make, args)


if __name__ == "__main__":
    main()
