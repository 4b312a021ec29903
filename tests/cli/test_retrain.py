"""``counterfoil retrain --promote``: a challenger that is shown to be better is activated, and the log says on what."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from datetime import date
from hashlib import sha256
from pathlib import Path

import polars as pl

from app.service import create_app
from app.settings import Settings
from app.store.open import open_store
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.command_line import Cli
from tests.tiny import TINY_FIT, TINY_POLICY, no_report
from training.read import read_history
from training.simulate import SimulationConfig, simulate
from training.train import TrainingJob, train


def payments(folder: Path, name: str, start: date, days: int, fraud_rate: float, *, labelled: bool) -> Path:
    """Simulated payments of the tiny world; without labels fraud is taken for legitimate."""
    config = SimulationConfig(days=days, cards=200, merchants=80, fraud_rate=fraud_rate, seed=5, start=start)
    age = pl.lit(None, pl.Float64).alias("account_age_days")
    label = pl.col("is_fraud") if labelled else pl.lit(0).alias("is_fraud")
    simulate(config).with_columns(age, label).write_parquet(folder / name)
    return folder / name


def serve(registry: Registry, url: str) -> None:
    """A service that is started and stopped."""
    settings = Settings(artifacts=registry.root, database_url=url)
    create_app(settings, Scorer.load(registry.resolve(None))).state.serving.close()


def test_the_better_one_is_promoted_and_taken_over(tiny_model: Path, tiny_schema: TransactionSchema, cli: Cli) -> None:
    registry, url = Registry(cli.folder / "artifacts"), f"sqlite:///{cli.folder / 'counterfoil.db'}"
    challenger = tiny_model.name
    shutil.copytree(tiny_model, registry.root / challenger)
    # The active one took a flood of fraud for legitimate traffic, and finds hardly any.
    flooded = payments(cli.folder, "flooded.parquet", date(2026, 1, 1), 8, 0.4, labelled=False)
    job, history = TrainingJob(tiny_schema, TINY_FIT, TINY_POLICY), read_history(tiny_schema, [flooded])
    active, _ = train(job, history, registry, report=no_report)
    registry.activate(active.version)
    serve(registry, url)
    later = payments(cli.folder, "later.parquet", date(2026, 1, 10), 12, 0.1, labelled=True)
    retrain = ("retrain", later, "--challenger", challenger)
    asked = cli(*retrain)
    assert asked.code == 0, asked.err
    assert "Better. " in asked.out and "Not active." in asked.out and registry.active() == active.version
    dry = cli(*retrain, "--promote", "--dry-run")
    assert dry.code == 0 and registry.active() == active.version
    done = cli(*retrain, "--promote")
    assert done.code == 0, done.err
    assert f"Promoted: {challenger} is now active (before: {active.version})." in done.out
    report = (cli.folder / "flips.json").read_bytes()
    told = json.loads(report)
    assert told["verdict"]["passed"] and told["comparison"]["won"] > told["comparison"]["lost"]
    assert told["comparison"]["evidence"] >= 20
    wanted = registry.activation()
    assert wanted is not None
    assert (wanted.version, wanted.by, wanted.report) == (
        challenger, "counterfoil retrain", sha256(report).hexdigest(),
    )  # fmt: skip
    serve(registry, url)
    with closing(open_store(url, read_only=True)) as store:
        *_, last = store.activations()
    assert (last.version, last.before, last.report) == (challenger, active.version, wanted.report)
