"""Tiny real models, trained once a run, that every part of the suite shares.

Each fixture imports what it needs: the process that hands out the tests reads this file and trains nothing.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.examples import MORE
from tests.shared import shared

if TYPE_CHECKING:
    import polars as pl

    from models.registry import Registry
    from models.schema import TransactionSchema
    from models.scorer import Scorer
    from tests.command_line import Cli
    from training.read import History

# Matrices are tiny here: a second thread only spins and waits for the first, and takes the suite's other process its
# turn. Set before anything loads NumPy, scikit-learn or torch; the processes that tests start have it, too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Packages are installed without bytecode. Where a shell forbids to write it, each of the processes that tests start
# would compile anew all that it imports, for longer than it runs. The Makefile does the same for what it starts.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Settings of the caller's shell are none of the tests': each says what it needs.
for _name in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
    del os.environ[_name]

# Where the suite runs in the background (``nohup``, ``&`` in a script) this signal is ignored, and the processes that
# tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every run, and no clock: the suite shares a busy machine.
settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=30)
settings.register_profile("long", derandomize=True, deadline=None, max_examples=30 * MORE)
settings.load_profile("fixed")

#: Seconds. What takes longer belongs into a long form, or needs less to show the same.
LENGTHY = 15.0


def pytest_configure(config: pytest.Config) -> None:
    """Choose how many examples properties are tried with, before the modules that ask are read."""
    if config.getoption("--long", default=False):
        settings.load_profile("long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is marked ``long``, unless the long forms are asked for; begin with what is marked ``early``."""
    if not config.getoption("--long", default=False):
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


def pytest_collection_finish() -> None:
    """What the tests have loaded stays to the end: the collector need not look through it again and again."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name the short forms that took long. No test fails for it: a busy machine takes long over everything."""
    if config.getoption("--long", default=False):
        return
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lengthy = [one for one in reports if isinstance(one, pytest.TestReport) and one.duration > LENGTHY]
    if lengthy:
        terminalreporter.section(f"took longer than {LENGTHY:.0f} s")
        for one in sorted(lengthy, key=lambda one: -one.duration):
            terminalreporter.write_line(f"{one.duration:6.1f} s {one.when:8} {one.nodeid}")


@pytest.fixture(scope="session")
def tiny_schema() -> TransactionSchema:
    """The payments profile without behaviour, plus a numeric feature that may be missing."""
    from models.schema import NumericColumn, load_schema

    payments = load_schema("payments")
    columns = dict(payments.columns)
    columns["account_age_days"] = NumericColumn(nullable=True, minimum=0.0, unit="d")
    update = {"name": "tiny", "label_delay": "0d", "columns": columns, "entity": {}}
    return payments.model_copy(update=update).checked()


@pytest.fixture(scope="session")
def tiny_frame() -> pl.DataFrame:
    """About 1,500 simulated payments, 3 % fraud, with an account age that is missing in every seventh row."""
    import numpy as np
    import polars as pl

    from training.simulate import SimulationConfig, simulate

    config = SimulationConfig(days=8, cards=200, merchants=80, fraud_rate=0.03, seed=5)
    frame = simulate(config)
    age = np.random.default_rng(5).integers(0, 3_000, frame.height)
    missing = np.arange(frame.height) % 7 == 3
    column = pl.Series("account_age_days", age).set(pl.Series(missing), None)
    return frame.with_columns(column)


@pytest.fixture(scope="session")
def tiny_csv(tiny_frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same payments as CSV."""
    from training.simulate import write

    return shared(tmp_path_factory, "data", lambda folder: write(tiny_frame, folder / "payments.csv")) / "payments.csv"


@pytest.fixture(scope="session")
def kernel(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The behaviour kernel is compiled, which takes some 20 seconds in a fresh clone, by one process only."""
    from models.behaviour.events import Behaviour
    from models.schema import load_schema
    from training.behaviour import remember
    from training.read import read_history

    def compile_all(_folder: Path) -> None:
        schema = load_schema("payments")
        remember(Behaviour(schema), read_history(schema, [tiny_csv]))

    shared(tmp_path_factory, "kernel", compile_all)


@pytest.fixture(scope="session")
def tiny_registry(tiny_csv: Path, tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """A registry with one published and active version."""
    from models.registry import Registry
    from tests.tiny import TINY_FIT, TINY_POLICY
    from training.read import read_history
    from training.train import TrainingJob, train

    def make(folder: Path) -> None:
        registry = Registry(folder / "artifacts")
        job = TrainingJob(tiny_schema, TINY_FIT, TINY_POLICY)
        manifest, _ = train(job, read_history(tiny_schema, [tiny_csv]), registry)
        registry.activate(manifest.version)

    return Registry(shared(tmp_path_factory, "registry", make) / "artifacts")


@pytest.fixture(scope="session")
def tiny_model(tiny_registry: Registry) -> Path:
    """The folder of the active tiny version. Copy it before you damage it."""
    return tiny_registry.resolve(None)


@pytest.fixture(scope="session")
def rival_model(tiny_csv: Path, tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version trained on the same rows with another seed."""
    from models.registry import Registry
    from tests.tiny import TINY_FIT, TINY_POLICY, no_report
    from training.read import read_history
    from training.train import TrainingJob, train

    def make(folder: Path) -> None:
        job = TrainingJob(tiny_schema, TINY_FIT, TINY_POLICY, seed=7)
        train(job, read_history(tiny_schema, [tiny_csv]), Registry(folder / "artifacts"), report=no_report)

    registry = Registry(shared(tmp_path_factory, "rival", make) / "artifacts")
    return registry.folder(registry.versions()[0])


@pytest.fixture(scope="session")
def tiny_scorer(tiny_model: Path) -> Scorer:
    """The tiny version, loaded."""
    from models.scorer import Scorer

    return Scorer.load(tiny_model)


@pytest.fixture(scope="session")
def tiny_history(tiny_csv: Path, tiny_schema: TransactionSchema) -> History:
    """All of the tiny payments."""
    from training.read import read_history

    return read_history(tiny_schema, [tiny_csv])


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of the command line take ten steps instead of a thousand: nothing depends on how well they learn."""
    from training.fit import FitOptions

    monkeypatch.setattr("training.fit.FitOptions", partial(FitOptions, steps=10))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """The command line, run in the test's own folder."""
    from tests.command_line import Cli

    return Cli(tmp_path, monkeypatch, capsys)
