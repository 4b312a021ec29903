"""Training with behaviour: its beginning left out, some of it made new, the states kept beside the model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.behaviour import layout as L
from models.behaviour.events import Behaviour
from models.behaviour.replay import empty, step
from models.behaviour.snapshot import Snapshot
from models.bundle import load_bundle, read_states
from models.errors import InvalidBundle, InvalidInput
from models.manifest import STATES
from models.registry import Registry
from models.rethreshold import rethreshold
from models.schema import load_schema
from models.thresholds import Policy
from tests.tiny import no_report
from training.behaviour import FORGOTTEN_SHARE, cold, forget_some, remember, warm_up_end
from training.fit import FitOptions
from training.read import read_history
from training.simulate import SimulationConfig, simulate, write
from training.train import TrainingJob, train

BEHAVIOUR = Behaviour(load_schema("payments"))
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small version with behaviour features."""
    folder = tmp_path_factory.mktemp("behaving")
    write(simulate(SimulationConfig(days=9, cards=150, merchants=60, seed=2)), folder / "p.parquet")
    schema = load_schema("payments")
    job = TrainingJob(
        schema, FitOptions(hidden=(16,), steps=50), Policy(name="alert-rate", value=0.05), label_delay="0d"
    )
    return train(job, read_history(schema, [folder / "p.parquet"]), Registry(folder / "artifacts"), report=no_report)[1]


def test_the_beginning_is_left_out_until_the_longest_window_is_full() -> None:
    year = np.arange(365) * DAY
    assert warm_up_end(BEHAVIOUR, year) == 30
    assert warm_up_end(BEHAVIOUR, year[:61]) == 20  # never more than a third
    assert warm_up_end(BEHAVIOUR, year[:0]) == 0
    assert warm_up_end(Behaviour(load_schema("ulb")), year) == 0


def test_a_forgotten_entity_looks_as_the_kernel_writes_a_new_one() -> None:
    for entity in BEHAVIOUR.entities:
        out = np.empty(len(entity.behaviour.derived))
        event = np.zeros(L.E_CODES + len(entity.behaviour.code_columns), np.int64)
        event[:2] = (10 * DAY, 1_234)
        step(entity, empty(entity), event, out)
        assert np.array_equal(out, cold(BEHAVIOUR, entity.name))


def test_a_few_rows_are_forgotten_and_nothing_else_changes() -> None:
    sent = len(BEHAVIOUR._schema.sent_numeric)
    table = np.random.default_rng(0).normal(size=(20_000, sent + BEHAVIOUR.width))
    changed = forget_some(BEHAVIOUR, table, seed=1) != table
    assert not changed[:, :sent].any()
    for entity in BEHAVIOUR.entities:
        rows = changed[:, sent + entity.out.start : sent + entity.out.stop]
        assert np.array_equal(rows.all(axis=1), rows.any(axis=1))
        assert rows.all(axis=1).mean() == pytest.approx(FORGOTTEN_SHARE, abs=0.005)


def test_the_version_says_what_was_left_out_and_holds_the_states(version: Path) -> None:
    bundle = load_bundle(version)
    assert bundle.manifest.training.left_out["warm-up (too little behind them)"] > 100
    assert bundle.manifest.files.keys() == {"detector.onnx", "golden.json", "report.html", STATES}
    assert read_states(version) == (version / STATES).read_bytes()


def test_a_new_threshold_keeps_the_states(version: Path) -> None:
    _, folder = rethreshold(version, Registry(version.parent), Policy(name="alert-rate", value=0.1))
    assert (folder / STATES).read_bytes() == (version / STATES).read_bytes()


@pytest.mark.parametrize(("damage", "check"), [("missing", "missing file"), ("changed", "sha256")])
def test_damaged_states_are_refused(version: Path, tmp_path: Path, damage: str, check: str) -> None:
    copy = tmp_path / version.name
    shutil.copytree(version, copy)
    if damage == "missing":
        (copy / STATES).unlink()
    else:
        (copy / STATES).write_bytes((copy / STATES).read_bytes() + b" ")
    with pytest.raises(InvalidBundle, match=rf"states\.npz: failed check '{check}'"):
        load_bundle(copy)


def test_states_beside_a_model_without_behaviour_are_refused(tiny_model: Path, version: Path, tmp_path: Path) -> None:
    copy = tmp_path / tiny_model.name
    shutil.copytree(tiny_model, copy)
    shutil.copy(version / STATES, copy)
    with pytest.raises(InvalidBundle, match="extra file"):
        load_bundle(copy)


def test_features_that_a_table_has_are_taken_as_they_are(tmp_path: Path) -> None:
    schema = load_schema("payments")
    plain = simulate(SimulationConfig(days=9, cards=60, merchants=30, seed=2))
    write(plain, tmp_path / "plain.parquet")
    whole, kept = remember(BEHAVIOUR, read_history(schema, [tmp_path / "plain.parquet"]))
    assert whole.behaviour is not None and kept
    names = [feature.name for feature in schema.behaviour]
    table = plain.hstack(pl.from_numpy(whole.behaviour, names).get_columns())
    table.sample(fraction=1.0, shuffle=True, seed=1).write_parquet(tmp_path / "features.parquet")
    history = read_history(schema, [tmp_path / "features.parquet"])
    assert history.behaviour is not None
    np.testing.assert_array_equal(history.behaviour, whole.behaviour)

    registry = Registry(tmp_path / "artifacts")
    options, policy = FitOptions(hidden=(8,), steps=5, members=1), Policy(name="alert-rate", value=0.05)
    job = TrainingJob(schema, options, policy, label_delay="0d")
    learned, folder = train(job, history, registry, report=no_report)
    history = read_history(schema, [tmp_path / "plain.parquet"])
    again, _ = train(job, history, Registry(tmp_path / "again"), report=no_report)
    assert learned.metrics == again.metrics
    content = read_states(folder)
    assert content is not None
    assert not Snapshot.from_bytes(content, BEHAVIOUR, name=STATES).states

    table.drop(names[0]).write_parquet(tmp_path / "features.parquet")
    with pytest.raises(InvalidInput, match=rf"but none of {names[0]}; make it anew"):
        read_history(schema, [tmp_path / "features.parquet"])
    table.with_columns(pl.lit(None, pl.Float64).alias(names[0])).write_parquet(tmp_path / "features.parquet")
    with pytest.raises(InvalidInput, match="cells that are no number"):
        read_history(schema, [tmp_path / "features.parquet"])
    with pytest.raises(InvalidInput, match="some of the files have columns of behaviour features"):
        table.write_parquet(tmp_path / "features.parquet")
        read_history(schema, [tmp_path / "features.parquet", tmp_path / "plain.parquet"])
