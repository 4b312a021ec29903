"""A history that is too long to be held: what is drawn, what it remembers, and what a version says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.behaviour.replay import content
from models.behaviour.snapshot import Snapshot
from models.bundle import read_states
from models.clock import AHEAD
from models.errors import InvalidInput
from models.registry import Registry
from models.rows import FRAUD
from models.schema import TransactionSchema, load_schema
from tests.tiny import TINY_POLICY
from training.behaviour import remember
from training.draw import MOST_CELLS, MOST_ROWS, most_rows, read_for_training
from training.fit import FitOptions
from training.read import History, read_history
from training.train import TrainingJob, train

MOST = 400


@pytest.fixture(scope="module")
def schema(tiny_schema: TransactionSchema) -> TransactionSchema:
    """With behaviour features, of labels that arrive late among them."""
    return tiny_schema.model_copy(update={"entity": load_schema("payments").entity}).checked()


@pytest.fixture(scope="module")
def files(tiny_frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The payments in twelve files, so that no file has more than a few of them, the latest first."""
    folder = tmp_path_factory.mktemp("parts")
    size = -(-tiny_frame.height // 12)
    for n in range(12):
        tiny_frame[n * size : (n + 1) * size].write_parquet(folder / f"{n:02}.parquet", row_group_size=16)
    return sorted(folder.iterdir(), reverse=True)


def places(history: History, of: History) -> NDArray[np.int64]:
    """Where the rows of a sample stand in the whole, by their ids."""
    assert history.id is not None and of.id is not None
    numbered = pl.DataFrame({"id": of.id, "n": np.arange(len(of))})
    return history.id.alias("id").to_frame().join(numbered, on="id", maintain_order="left")["n"].to_numpy()


def test_what_fits_is_read_as_ever(schema: TransactionSchema, files: list[Path]) -> None:
    expected = read_history(schema, files)
    history = read_for_training(schema, files, seed=0, most=len(expected))
    assert history.drawn is None and history.each == 1 and history.behaviour is None
    assert history.fingerprint() == expected.fingerprint() and history.reordered == expected.reordered
    assert most_rows(schema) == MOST_CELLS // len(schema.features) < MOST_ROWS


@pytest.mark.usefixtures("kernel")
def test_drawn_rows_remember_all_rows_to_the_bit(schema: TransactionSchema, files: list[Path]) -> None:
    behaviour = Behaviour(schema)
    everything, states = remember(behaviour, read_history(schema, files))
    history = read_for_training(schema, files, seed=0, most=MOST)
    at = places(history, everything)
    assert len(history) == MOST and (np.diff(at) > 0).all()
    assert everything.behaviour is not None
    np.testing.assert_array_equal(history.behaviour, everything.behaviour[at])
    np.testing.assert_array_equal(history.numeric, everything.numeric[at])
    drawn = history.drawn
    assert drawn is not None
    beside = places(drawn.fraud, everything)
    np.testing.assert_array_equal(drawn.fraud.behaviour, everything.behaviour[beside])
    assert sorted([*beside, *at[history.label == FRAUD]]) == np.flatnonzero(everything.label == FRAUD).tolist()
    assert (drawn.of, drawn.kept, drawn.late) == (len(everything), MOST, 0)
    assert drawn.newest == everything.time[-1]
    assert drawn.states.keys() == states.keys()
    for entity in behaviour.entities:
        for key in (key for key in states if key[0] == entity.name):
            np.testing.assert_array_equal(content(entity, drawn.states[key]), content(entity, states[key]))


def test_the_draw_is_even_and_that_of_the_seed_whatever_the_files(
    tiny_schema: TransactionSchema, files: list[Path], tmp_path: Path
) -> None:
    one = tmp_path / "one.parquet"
    pl.concat([pl.read_parquet(file) for file in files]).write_parquet(one)
    expected = read_history(tiny_schema, [one])
    counted, seeds = np.zeros(len(expected)), 10
    for seed in range(seeds):
        counted[places(read_for_training(tiny_schema, [one], seed=seed, most=MOST), expected)] += 1
    share = MOST / len(expected)
    for part in np.array_split(counted / seeds, 8):
        assert abs(part.mean() - share) < 4 * np.sqrt(share * (1 - share) / seeds / len(part))
    prints = [
        read_for_training(tiny_schema, paths, seed=seed, most=MOST).fingerprint()
        for paths, seed in (([one], 3), (files, 3), (files, 4))
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.usefixtures("kernel")
def test_neither_rows_ahead_of_the_clock_nor_too_many_states_are_kept(
    schema: TransactionSchema,
    tiny_frame: pl.DataFrame,
    files: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = pl.lit(datetime(2962, 3, 31, tzinfo=UTC)).cast(pl.Datetime("ms", "UTC"))
    late = tiny_frame[:50].with_columns(timestamp=wrong)
    late.write_parquet(tmp_path / "late.parquet")
    history = read_for_training(schema, [tmp_path / "late.parquet", *files], seed=0, most=MOST)
    assert history.drawn is not None
    clean = read_for_training(schema, files, seed=0, most=MOST)
    assert history.fingerprint() == clean.fingerprint() and clean.drawn is not None
    assert (history.drawn.of, history.drawn.late, history.drawn.newest) == (clean.drawn.of, 50, clean.drawn.newest)
    for key, state in clean.drawn.states.items():
        np.testing.assert_array_equal(history.drawn.states[key], state)
    monkeypatch.setattr("training.spill.MOST_STATE_BYTES", 10_000)
    without = read_for_training(schema, files, seed=0, most=MOST)
    assert without.drawn is not None and not without.drawn.states
    np.testing.assert_array_equal(without.behaviour, clean.behaviour)
    with pytest.raises(InvalidInput, match=f"all 50 rows are {AHEAD}"):
        read_for_training(schema, [tmp_path / "late.parquet"], seed=0, most=10)


@pytest.mark.usefixtures("kernel")
def test_a_version_says_what_it_was_drawn_from_and_counts_days_in_full(
    schema: TransactionSchema, files: list[Path], tmp_path: Path
) -> None:
    job = TrainingJob(schema, FitOptions(hidden=(8,), members=1, steps=20), TINY_POLICY, label_delay="0d", labels="use")
    everything, few = read_history(schema, files), read_for_training(schema, files, seed=0, most=MOST)
    manifest, folder = train(job, few, Registry(tmp_path))
    record, rows = manifest.training, len(everything)
    assert record.rows == rows
    assert record.left_out[f"not drawn: {MOST:,} rows of {rows:,} are held, at random"] == rows - MOST
    parts = record.train.rows + record.calibration.rows + record.test.rows
    assert parts + record.left_out["warm-up (too little behind them)"] == MOST
    assert manifest.second_opinion is not None  # its trees have the fraud that was not drawn, too
    assert record.train.fraud < manifest.second_opinion.fraud <= (everything.label == FRAUD).sum() * 0.8
    days = (everything.time[-1] - everything.time[0]) / 86_400e6
    assert manifest.policy_inputs.per_day == pytest.approx(rows / days, rel=0.2)
    snapshot = Snapshot.from_bytes(read_states(folder) or b"", Behaviour(schema), name="")
    assert few.drawn is not None
    assert snapshot.as_of == everything.time[-1] and snapshot.states.keys() == few.drawn.states.keys()
    report = (folder / "report.html").read_text()
    assert f"of about {record.test.rows * rows / MOST:,.0f}" in report and "card precision@" not in report
