"""Recall per fraud scenario at 0.5 % alerts, with and without behaviour features, on the embedded simulator.

    python benchmarks/scenarios.py                                    # 90 days of 5,000 cards, two trainings
    python benchmarks/scenarios.py --days 20 --cards 300              # a tiny run

Both models see the same payments and have the same defaults. Measured on the test part, the last fifth of the rows in
time, at the threshold that training chose on the calibration part. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from models.behaviour.events import Behaviour
from models.registry import Registry
from models.rows import FRAUD
from models.schema import load_schema
from models.scorer import Scorer
from training.behaviour import remember
from training.read import read_history
from training.simulate import SimulationConfig, simulate, write
from training.split import split_history
from training.train import TrainingJob, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--cards", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0, help="of the payments and of the trainings")
    args = parser.parse_args()
    full = load_schema("payments")
    figures: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "payments.parquet"
        write(simulate(SimulationConfig(days=args.days, cards=args.cards, seed=args.seed)), path)
        for title, schema in {
            "without": full.model_copy(update={"entity": {}}).checked(),
            "with": full,
        }.items():
            history = read_history(schema, [path])
            manifest, folder = train(TrainingJob(schema, seed=args.seed), history, Registry(Path(name) / title))
            behaviour = Behaviour(schema)
            if behaviour:
                history, _ = remember(behaviour, history)
            test = history.take(split_history(history, schema, schema.label_delay).test)
            scorer = Scorer.load(folder, threads=2)
            scores = scorer.score(test.batch(scorer.vocabulary))
            assert test.scenario is not None
            fraud, scenario = test.label == FRAUD, test.scenario.fill_null("").to_numpy()
            rows = {"all fraud": fraud} | {kind: fraud & (scenario == kind) for kind in sorted(set(scenario[fraud]))}
            found = {kind: f"{scores.is_anomaly[rows[kind]].mean():.0%}" for kind in rows}
            found["rows of legitimate payments that alert"] = f"{scores.is_anomaly[~fraud].mean():.2%}"
            found["ROC AUC"] = f"{manifest.metrics.roc_auc:.3f}"
            found["average precision"] = f"{manifest.metrics.average_precision:.3f}"
            figures[title] = found
            counts = {kind: int(np.sum(mask)) for kind, mask in rows.items()}
    print("| | fraud rows | without behaviour | with |\n|---|---|---|---|")
    for kind in figures["with"]:
        print(f"| {kind} | {counts.get(kind, '')} | {figures['without'][kind]} | {figures['with'][kind]} |")


if __name__ == "__main__":
    main()
