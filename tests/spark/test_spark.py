"""On a cluster of two executors: the features, scores, states and rejects of one process, whatever happens."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from app.recording.startup import snapshot_of
from models.batch import score_table
from models.behaviour.events import Behaviour
from models.behaviour.replay import content, replay
from models.behaviour.state_fork import StateFork
from models.errors import InvalidInput
from models.parsing import parse_rows
from tests.app.traffic import Payments

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Spark's own warnings, of pandas and of sockets that it leaves to the collector.
pytestmark = pytest.mark.filterwarnings("ignore")
_ID = "transaction_id"


def _parquet(frame: pl.DataFrame, folder: Path, files: int = 3) -> list[str]:
    """The rows in several files, in the order of their names."""
    folder.mkdir()
    cuts = np.linspace(0, frame.height, files + 1).astype(int).tolist()
    for i, (start, end) in enumerate(pairwise(cuts)):
        frame[start:end].write_parquet(folder / f"{i}.parquet", row_group_size=max(300, frame.height // 20))
    return [str(folder)]


def _written(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "*.parquet").sort(_ID)


def _in_one_process(payments: Payments, frame: pl.DataFrame, folder: Path) -> pl.DataFrame:
    source, output = folder / "one.parquet", folder / "scored.parquet"
    frame.write_parquet(source)
    snapshot = snapshot_of(payments.scorer)
    assert snapshot is not None
    fork = StateFork(Behaviour(payments.schema), lambda keys: snapshot.states)
    score_table(payments.scorer, source, output, fork=fork, reasons=1, on_error="reject")
    return pl.read_parquet(output).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC"))).sort(_ID)


def _score(
    session: SparkSession, payments: Payments, sources: list[str], folder: Path, middle: Any = None, **job: Any
) -> Any:
    from spark.job import Job, run
    from spark.rows import Parsing
    from spark.scoring import scored, sent
    from spark.states import of_model

    scorer = payments.scorer
    begins = of_model(session, scorer.bundle.path, scorer.schema)

    def result(events: DataFrame, archive: str) -> DataFrame:
        return scored(events.mapInArrow(middle, events.schema) if middle else events, scorer, archive, 1)

    with sent(session, scorer.bundle.path) as archive:
        parsing = Parsing(scorer.schema, vocabulary=scorer.vocabulary)
        wanted = Job(sources, str(folder / "out"), begins=begins, **job)
        return run(session, wanted, parsing, partial(result, archive=archive))


def test_scores_are_those_of_one_process_though_an_executor_is_killed(
    session: SparkSession, payments: Payments, tmp_path: Path
) -> None:
    killed = tmp_path / "killed"

    def dying(batches: Iterator[Any]) -> Iterator[Any]:
        """In mid-stage, once: the end of the executor that this worker belongs to, as by kill -9."""
        for i, batch in enumerate(batches):
            yield batch
            if i == 0 and batch.num_rows:
                try:
                    killed.touch(exist_ok=False)
                except FileExistsError:
                    continue
                daemon = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
                os.kill(int(daemon[1]), signal.SIGKILL)

    sources = _parquet(payments.frame, tmp_path / "in")
    outcome = _score(session, payments, sources, tmp_path, dying, states=str(tmp_path / "states"))
    assert killed.exists()
    found, expected = _written(tmp_path / "out"), _in_one_process(payments, payments.frame, tmp_path)
    assert outcome.rows == payments.frame.height
    assert outcome.alerts == expected["is_anomaly"].sum() > 0
    assert found.equals(expected)
    _assert_states(payments, tmp_path / "states")


def _assert_states(payments: Payments, folder: Path) -> None:
    """What the job has left is what the service would know after the same payments."""
    behaviour, snapshot = Behaviour(payments.schema), snapshot_of(payments.scorer)
    assert snapshot is not None
    rows = parse_rows(payments.schema, payments.frame).in_time_order()
    events = behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity, rows.fraud, rows.known)
    expected = {**snapshot.states, **replay(behaviour, events, before=snapshot.states.get, keep=True).states}
    table = pl.read_parquet(folder / "*.parquet")
    found = {(e, k): np.frombuffer(s, np.int64) for e, k, s in table.select("entity", "key", "state").iter_rows()}
    assert set(table["spec"]) == {behaviour.spec}
    assert found.keys() == expected.keys()
    entities = {entity.name: entity for entity in behaviour.entities}
    for key, state in found.items():
        entity = entities[key[0]]
        np.testing.assert_array_equal(content(entity, state), content(entity, expected[key]))


def _features(session: SparkSession, payments: Payments, sources: list[str], folder: Path, **job: Any) -> Any:
    from spark.features import told_apart
    from spark.job import Job, run
    from spark.rows import Parsing

    schema = payments.schema
    return run(session, Job(sources, str(folder), **job), Parsing(schema), lambda e: told_apart(e, schema))


def _replayed(payments: Payments, frame: pl.DataFrame) -> pl.DataFrame:
    """The features of one replay, by transaction."""
    behaviour = Behaviour(payments.schema)
    rows = parse_rows(payments.schema, frame).in_time_order()
    assert rows.id is not None
    events = behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity, rows.fraud, rows.known)
    names = [feature.name for feature in payments.schema.behaviour]
    return pl.from_numpy(replay(behaviour, events).features, names).insert_column(0, rows.id.alias(_ID)).sort(_ID)


def test_features_are_those_of_one_replay_and_bad_rows_are_listed(
    session: SparkSession, payments: Payments, tmp_path: Path
) -> None:
    amount = pl.when(pl.int_range(pl.len()) % 700 == 3).then(-1.0).otherwise(pl.col("amount"))
    spoilt = payments.frame.with_columns(amount.alias("amount"))
    sources = _parquet(spoilt, tmp_path / "in")
    with pytest.raises(InvalidInput, match=r"0\.parquet: row 4: amount: ") as stopped:
        _features(session, payments, sources, tmp_path / "never")
    assert "-1.0" not in str(stopped.value)
    assert not (tmp_path / "never").exists()

    outcome = _features(session, payments, sources, tmp_path / "out", on_error="reject")
    bad = spoilt["amount"].eq(-1.0)
    rejects = pl.read_parquet(tmp_path / "out.rejects" / "*.parquet").sort("file", "row")
    assert outcome.rejected == rejects.height == bad.sum() > 3
    assert set(rejects["column"]) == {"amount"}
    assert rejects["row"][0] == 4 and rejects["file"][0].endswith("in/0.parquet")
    expected = _replayed(payments, spoilt.filter(~bad))
    assert _written(tmp_path / "out").select(expected.columns).equals(expected)

    drawn = _features(session, payments, sources, tmp_path / "drawn", on_error="reject", share=0.2)
    sampled = _written(tmp_path / "drawn")
    assert 0.1 < drawn.rows / expected.height < 0.3
    assert sampled.select(expected.columns).equals(expected.join(sampled.select(_ID), on=_ID, how="semi").sort(_ID))
    assert sampled.drop(expected.columns[1:]).null_count().sum_horizontal()[0] == 0


def _of_one_card(payments: Payments, rows: int) -> pl.DataFrame:
    """So many payments of one card, three to a second, among those of others."""
    own = payments.frame.sample(rows, with_replacement=True, seed=1).with_columns(
        pl.lit("busy").alias("card_id"),
        (payments.frame["timestamp"][0] + pl.duration(milliseconds=pl.int_range(pl.len()) * 333))
        .cast(payments.frame.schema["timestamp"])
        .alias("timestamp"),
        ("busy-" + pl.int_range(pl.len()).cast(pl.String).str.zfill(9)).alias(_ID),
    )
    return pl.concat([own, payments.frame])


def test_an_entity_of_any_size_fits_a_task(session: SparkSession, payments: Payments, tmp_path: Path) -> None:
    frame = _of_one_card(payments, 100_000)
    _features(session, payments, _parquet(frame, tmp_path / "in"), tmp_path / "out")
    expected = _replayed(payments, frame)
    assert _written(tmp_path / "out").select(expected.columns).equals(expected)


@pytest.mark.long
def test_ten_million_events_of_one_card(session: SparkSession, payments: Payments, tmp_path: Path) -> None:
    """Minutes. Of the last hundred thousand, what the windows still hold is compared with a replay of all."""
    frame = _of_one_card(payments, 10_000_000)
    outcome = _features(session, payments, _parquet(frame, tmp_path / "in"), tmp_path / "out")
    expected = _replayed(payments, frame)
    assert outcome.rows == frame.height
    assert _written(tmp_path / "out").select(expected.columns).equals(expected)
