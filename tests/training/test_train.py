"""The training job: reproducible, blind to fraud and to the test part, and it leaves a whole version or none."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import average_precision_score

from models.clock import AHEAD
from models.errors import InvalidInput
from models.manifest import DETECTOR, GOLDEN, MANIFEST, REPORT, Manifest
from models.registry import Registry
from models.rethreshold import rethreshold
from models.rows import FRAUD, UNKNOWN
from models.schema import TransactionSchema, parse_schema
from models.scorer import Scorer
from models.thresholds import Policy
from tests.tiny import no_report
from training.fit import FitOptions
from training.read import History, read_history
from training.simulate import SimulationConfig, simulate, write
from training.split import Split, split_history
from training.train import TrainingJob, fit_vocabulary, train

FIT = FitOptions(hidden=(8,), members=2, steps=30)
POLICY = Policy(name="alert-rate", value=0.05)


@pytest.fixture(scope="module")
def job(tiny_schema: TransactionSchema) -> TrainingJob:
    return TrainingJob(tiny_schema, FIT, POLICY, seed=3)


@pytest.fixture(scope="module")
def history(tiny_schema: TransactionSchema, tiny_csv: Path) -> History:
    return read_history(tiny_schema, [tiny_csv])


@pytest.fixture(scope="module")
def split(history: History, tiny_schema: TransactionSchema) -> Split:
    return split_history(history, tiny_schema, "0d")


@pytest.fixture(scope="module")
def first(job: TrainingJob, history: History, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version, to compare others with."""
    return train(job, history, Registry(tmp_path_factory.mktemp("first")))[1]


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest without what may differ between two runs."""
    body: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    for key in ("version", "created_at"):
        body.pop(key)
    body["files"].pop(REPORT)
    return body


def timeless(report: bytes, folder: Path) -> str:
    """A report without its version and the time it was made."""
    text = report.decode().replace(folder.name, "VERSION")
    created = json.loads((folder / MANIFEST).read_text())["created_at"]
    text = text.replace(created, "CREATED").replace(created[:10], "DAY")
    return re.sub(r"\d\d:\d\d(:\d\d)?", "CLOCK", text)


def test_the_same_data_and_seed_give_the_same_version(
    job: TrainingJob, history: History, first: Path, tmp_path: Path
) -> None:
    _, again = train(job, history, Registry(tmp_path))
    for name in (DETECTOR, GOLDEN):
        assert (again / name).read_bytes() == (first / name).read_bytes()
    assert manifest_of(again) == manifest_of(first)
    assert timeless((again / REPORT).read_bytes(), again) == timeless((first / REPORT).read_bytes(), first)


def test_a_row_of_a_wrong_year_changes_nothing_and_is_told(
    job: TrainingJob, history: History, first: Path, tmp_path: Path
) -> None:
    rows = history.take(np.append(np.arange(len(history)), 0))
    rows.time[-1] = (datetime(2962, 3, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    manifest, folder = train(job, rows, Registry(tmp_path), report=no_report)
    assert manifest.training.left_out.pop(AHEAD) == 1
    assert (folder / DETECTOR).read_bytes() == (first / DETECTOR).read_bytes()
    found, expected = manifest_of(folder), manifest_of(first)
    assert found["training"].pop("left_out") == expected["training"].pop("left_out") | {AHEAD: 1}
    assert found == expected
    rows.time[:] = rows.time[-1]
    with pytest.raises(InvalidInput, match=f"all {len(rows):,} rows are {AHEAD}"):
        train(job, rows, Registry(tmp_path), report=no_report)


def test_fraud_and_the_test_part_never_reach_the_detector_or_the_threshold(
    job: TrainingJob, history: History, split: Split, first: Path, tmp_path: Path
) -> None:
    numeric, label = history.numeric.copy(), history.label.copy()
    text = [column.to_list() for column in history.text]
    known_fraud = split.train[label[split.train] == FRAUD]
    assert len(known_fraud) > 10
    for row in (*known_fraud, *split.test):
        numeric[row] = 1e6 + row
        for column in text:
            column[row] = "never seen"
    label[split.test] = np.where(np.arange(len(split.test)) % 2, FRAUD, UNKNOWN)
    changed = replace(
        history,
        numeric=numeric,
        label=label,
        text=tuple(pl.Series(c.name, cells) for c, cells in zip(history.text, text, strict=True)),
    )
    _, folder = train(job, changed, Registry(tmp_path), report=no_report)
    for name in (DETECTOR, GOLDEN):
        assert (folder / name).read_bytes() == (first / name).read_bytes()
    ours, theirs = manifest_of(folder), manifest_of(first)
    for key in ("calibration", "threshold", "vocabulary", "policy_inputs", "architecture"):
        assert ours[key] == theirs[key], key
    assert ours["metrics"] != theirs["metrics"]
    assert ours["training"]["fingerprint"] != theirs["training"]["fingerprint"]


def test_the_record_says_what_was_done(history: History, split: Split, first: Path) -> None:
    manifest = Manifest.model_validate_json((first / MANIFEST).read_bytes())
    record = manifest.training
    assert (record.rows, record.seed, record.label_delay) == (len(history), 3, "0d")
    assert [part.rows for part in (record.train, record.calibration, record.test)] == [
        len(split.train), len(split.calibration), len(split.test),
    ]  # fmt: skip
    assert record.train.fraud == (history.label[split.train] == FRAUD).sum()
    assert record.train.end <= record.calibration.start <= record.calibration.end <= record.test.start  # type: ignore[operator]
    assert record.fingerprint == history.fingerprint()
    assert manifest.calibration.rows == len(split.calibration) - record.calibration.fraud
    assert manifest.metrics.part == "test" and manifest.metrics.rows == len(split.test)
    assert manifest.architecture.members == 2 and manifest.architecture.hidden == [8]
    assert manifest.libraries["torch"].startswith("2.13.0")


def test_a_label_delay_is_recorded_as_left_out(
    job: TrainingJob, history: History, tiny_schema: TransactionSchema
) -> None:
    with pytest.raises(InvalidInput, match=r"label delay of 30d left out [\d,]+ rows"):
        train(replace(job, label_delay="30d"), history, Registry(Path("/nowhere/at/all")))
    assert len(split_history(history, tiny_schema, "1d").gap) > 50


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("moment", ["progress", "exporting"])
def test_an_interruption_leaves_no_version(
    job: TrainingJob, history: History, tmp_path: Path, failure: type[BaseException], moment: str
) -> None:
    def stop(reached: object) -> None:
        if moment in ("progress", reached):
            raise failure

    hooks: dict[str, Any] = {"on_progress" if moment == "progress" else "on_stage": stop}
    registry = Registry(tmp_path / "artifacts")
    with pytest.raises(failure):
        train(job, history, registry, **hooks)
    assert registry.versions() == [] and registry.active() is None
    assert list(tmp_path.rglob("*.partial")) == []


NUMBERS = parse_schema(
    {"name": "t", "columns": {**{f"x{i}": {"kind": "numeric"} for i in range(4)}, "fraud": {"kind": "label"}}},
    source="t",
)


def table(tmp_path: Path, frame: pl.DataFrame) -> History:
    """A history of the schema above."""
    frame.write_parquet(tmp_path / "t.parquet")
    return read_history(NUMBERS, [tmp_path / "t.parquet"])


def numbers(rows: int, fraud: int | None = 0, *, constant: bool = False) -> pl.DataFrame:
    """Random or constant features, all rows with one label; None leaves the column out."""
    random = np.random.default_rng(0)
    columns = {f"x{i}": np.full(rows, 7.0) if constant else random.normal(size=rows) for i in range(4)}
    frame = pl.DataFrame(columns)
    return frame if fraud is None else frame.with_columns(fraud=pl.lit(fraud))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (numbers(500, 1), "the train part has 0 legitimate rows of 500 rows in all, at least 50 are needed"),
        (numbers(1), "the train part has 1 legitimate rows of 1 rows in all, at least 50 are needed"),
        (
            numbers(500, constant=True),
            "every legitimate row of the calibration part has the same reconstruction error: the features hold no "
            "information",
        ),
    ],
)
def test_hopeless_tables_are_refused_and_leave_nothing(tmp_path: Path, frame: pl.DataFrame, message: str) -> None:
    registry = Registry(tmp_path / "artifacts")
    with pytest.raises(InvalidInput, match=message):
        train(TrainingJob(NUMBERS, FIT, POLICY), table(tmp_path, frame), registry)
    assert registry.versions() == []


def test_without_labels_it_trains_and_measures_what_can_be_measured(tmp_path: Path) -> None:
    manifest, folder = train(
        TrainingJob(NUMBERS, FIT, POLICY), table(tmp_path, numbers(400, None)), Registry(tmp_path / "artifacts")
    )
    metrics = manifest.metrics
    assert (metrics.fraud, metrics.prevalence, metrics.roc_auc, metrics.precision, metrics.recall) == (None,) * 5
    assert metrics.rows == 80 and metrics.alert_rate is not None and 0 <= metrics.alert_rate <= 1
    assert Scorer.load(folder).manifest.version == manifest.version


def test_a_device_that_is_not_there(job: TrainingJob, history: History, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="device 'abacus' is not available here; use cpu, cuda or auto"):
        train(replace(job, device="abacus"), history, Registry(tmp_path))


def test_a_categorical_column_may_have_any_name(tiny_frame: pl.DataFrame) -> None:
    column = tiny_frame["country"].alias("count")
    history = History(
        np.empty((len(column), 0)), (column,), np.zeros(len(column), np.int64), np.zeros(len(column), np.int8),
        False, {}, None,
    )  # fmt: skip
    [values] = fit_vocabulary(history, np.arange(len(column))).values
    counts = [(column == value).sum() for value in values]
    assert counts == sorted(counts, reverse=True) and counts[-1] >= 5


@pytest.fixture(scope="module")
def labelled(tiny_schema: TransactionSchema, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Twice the payments and three times the fraud of the shared table: enough to learn from."""
    frame = simulate(SimulationConfig(days=8, cards=300, merchants=80, fraud_rate=0.08, seed=5))
    path = tmp_path_factory.mktemp("labelled") / "payments.parquet"
    write(frame.with_columns(account_age_days=pl.lit(100)), path)
    return read_history(tiny_schema, [path])


def test_labels_give_a_second_opinion_that_serves_like_any_other(
    job: TrainingJob, labelled: History, tmp_path: Path
) -> None:
    manifest, folder = train(replace(job, labels="use"), labelled, Registry(tmp_path))
    record = manifest.second_opinion
    assert record is not None and record.used, record
    assert (record.fraud, record.gate_fraud) == (manifest.training.train.fraud, manifest.training.calibration.fraud)
    scorer = Scorer.load(folder)
    test = labelled.take(split_history(labelled, job.schema, "0d").test)
    scores = scorer.score(test.batch(scorer.vocabulary), explain=True)
    assert manifest.metrics.average_precision == pytest.approx(
        average_precision_score(test.label == FRAUD, scores.score), rel=1e-9
    )
    np.testing.assert_array_equal(scores.score, manifest.calibration.to_score(scores.evidence))
    np.testing.assert_allclose(scores.contributions.sum(1), scores.error, rtol=1e-6)
    report = (folder / REPORT).read_text()
    assert "Second opinion, from labels" in report
    assert "Fraud whose labels were never shown" in report
    row = int(np.argmax(scores.score))
    reasons = scorer.reasons(test.batch(scorer.vocabulary), scores, row, 3, verify=True)
    drops = [reason.verified.drop for reason in reasons if reason.verified]
    assert len(drops) == 3 and drops == sorted(drops, reverse=True) and drops[0] > 0
    batch = test.batch(scorer.vocabulary)
    for odd in np.argsort(-scores.score)[:40].tolist():  # no cause is given up on the way: trees jump
        three, every = (scorer.reasons(batch, scores, odd, top, verify=True) for top in (3, 99))
        assert three == every[:3]
    stricter, again = rethreshold(folder, Registry(tmp_path), Policy(name="alert-rate", value=0.02))
    assert Scorer.load(again).score(test.batch(scorer.vocabulary)).is_anomaly.sum() < scores.is_anomaly.sum()
    assert stricter.second_opinion == record


def test_labels_that_are_ignored_or_refused_leave_the_score_to_the_bit(
    job: TrainingJob, history: History, first: Path, tmp_path: Path
) -> None:
    manifest, folder = train(replace(job, labels="use"), history, Registry(tmp_path), report=no_report)
    assert manifest.second_opinion is not None and not manifest.second_opinion.used
    for name in (DETECTOR, GOLDEN):
        assert (folder / name).read_bytes() == (first / name).read_bytes()
    assert manifest.calibration == Scorer.load(first).manifest.calibration
