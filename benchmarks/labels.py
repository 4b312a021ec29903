"""The drill: is fraud found whose labels were never shown? Recall per scenario, on the embedded simulator.

    python benchmarks/labels.py                                       # 90 days of 5,000 cards
    python benchmarks/labels.py --days 30 --cards 300                 # a tiny run

One detector, fitted without fraud. For each scenario in turn a second opinion learns from the labels of all others; of
the scenario nothing is known. Recall on its rows of the test part, at
the threshold that 0.5 % of the legitimate test rows reach: by the reconstruction error alone, by trees on the features
alone, by both opinions; and by both with all labels. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from detection import Trees
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from models.behaviour.events import Behaviour
from models.detector import FraudDetector, run_torch
from models.normaliser import Layout
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from models.schema import load_schema
from training.behaviour import remember, warm_up_end
from training.coverage import without_uncovered_cycles
from training.fit import FitOptions, fit_detector
from training.read import read_history
from training.second_opinion import NOVEL_SHARE, fit_second_opinion
from training.simulate import SimulationConfig, simulate, write
from training.split import split_history
from training.train import fit_vocabulary

_BUDGET = 0.005
_BLOCK_ROWS = 8_192
Floats = NDArray[np.float64]


def ranks(detector: FraudDetector, batch: Batch) -> Floats:
    """What ranks the rows: the evidence, or the error where there is no second opinion."""
    place = 0 if detector.second is None else -1
    blocks = (batch.take(slice(start, start + _BLOCK_ROWS)) for start in range(0, len(batch), _BLOCK_ROWS))
    return np.concatenate([run_torch(detector, block)[place] for block in blocks])


def both(detector: FraudDetector, train: Batch, label: NDArray[np.int8], test: Batch, share: float) -> Floats:
    """The evidence of the test rows with a second opinion that learned these labels."""
    fit_second_opinion(detector, train, label, share, 0)
    found = ranks(detector, test)
    detector.second = None
    return found


def trees(train: Batch, label: NDArray[np.int8], test: Batch) -> Floats:
    """Log-odds of the test rows by trees on the features as they are, the usual way to use labels."""
    known = label != UNKNOWN
    columns = [np.hstack([rows.numeric, rows.categorical.astype(np.float64)]) for rows in (train, test)]
    model = Trees()
    model.fit(columns[0][known], label[known])
    return model.score(columns[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--cards", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0, help="of the payments and of the training")
    parser.add_argument("--novel-share", type=float, default=NOVEL_SHARE)
    args = parser.parse_args()
    schema = load_schema("payments")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "payments.parquet"
        write(simulate(SimulationConfig(days=args.days, cards=args.cards, seed=args.seed)), path)
        history = read_history(schema, [path])
    behaviour = Behaviour(schema)
    split = split_history(history, schema, schema.label_delay, warm_up_end(behaviour, history.time))
    schema = without_uncovered_cycles(schema, history.time[split.train])
    history, _ = remember(behaviour, history)
    legitimate = split.train[history.label[split.train] != FRAUD]
    vocabulary = fit_vocabulary(history, legitimate)
    batch = history.batch(vocabulary)
    layout = Layout.of(schema, vocabulary)
    detector = fit_detector(batch.take(legitimate), layout, FitOptions(), seed=args.seed).detector
    train, test = batch.take(split.train), batch.take(split.test)
    label, truth = history.label[split.train], history.label[split.test]
    assert history.scenario is not None
    kinds = [history.scenario.gather(rows).fill_null("").to_numpy() for rows in (split.train, split.test)]

    def recall(score: Floats, rows: NDArray[np.bool_]) -> str:
        return f"{(score[rows] >= np.quantile(score[truth == LEGITIMATE], 1 - _BUDGET)).mean():.0%}"

    first = ranks(detector, test)
    with_all = both(detector, train, label, test, args.novel_share)
    for title, score in (
        ("reconstruction error", first),
        ("trees with labels", trees(train, label, test)),
        ("both opinions", with_all),
    ):
        ranking = f"{roc_auc_score(truth, score):.3f} / {average_precision_score(truth, score):.3f}"
        print(f"{title}: ROC AUC / AP {ranking}, recall {recall(score, truth == FRAUD)}")
    print("\n| never shown | fraud rows | error alone | trees alone | both opinions | both, shown |")
    print("|---|---|---|---|---|---|")
    for kind in sorted(set(kinds[1][truth == FRAUD])):
        hidden = np.where(kinds[0] == kind, np.int8(UNKNOWN), label)
        rows = (truth == FRAUD) & (kinds[1] == kind)
        unshown = both(detector, train, hidden, test, args.novel_share)
        cells = [recall(score, rows) for score in (first, trees(train, hidden, test), unshown, with_all)]
        print(f"| {kind} | {rows.sum()} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
