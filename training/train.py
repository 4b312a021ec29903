"""The training job: read, split, fit, calibrate, choose a threshold, evaluate, report, publish.

    counterfoil train data.csv --profile payments
    counterfoil simulate --out tiny.csv --days 7 --cards 50 && counterfoil train tiny.csv --profile payments \
        --label-delay 0d --out /tmp/artifacts

Long because the job is told from beginning to end, each step in the order it is done.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.snapshot import Snapshot
from models.bundle import Bundle
from models.calibration import calibrate
from models.clock import AHEAD, ahead, all_ahead
from models.detector import FraudDetector, export_onnx, run_torch
from models.errors import CounterfoilError, InvalidInput
from models.graph import Graph
from models.manifest import (
    DETECTOR,
    ERROR,
    EVIDENCE,
    FORMAT,
    FORMAT_VERSION,
    GOLDEN,
    GOLDEN_ROWS,
    GOLDEN_TOLERANCE,
    REPORT,
    STATES,
    Architecture,
    Golden,
    Manifest,
    Part,
    PolicyInputs,
    SecondOpinionRecord,
    TrainingRecord,
    sha256,
    version_name,
)
from models.normaliser import Layout
from models.reference import Reference
from models.registry import Registry
from models.rows import FRAUD, UNKNOWN, Batch, Vocabulary
from models.schema import TransactionSchema, refuse_signed_ratios
from models.scorer import Scorer
from models.threshold_choice import choose_threshold, known_cases, require_cases
from models.thresholds import Policy
from training.behaviour import forget_some, remember, warm_up_end
from training.coverage import without_uncovered_cycles
from training.drill import Part as DrillPart
from training.drill import Unshown, drill, scenario_names
from training.evaluate import measure
from training.fit import FitOptions, FitResult, fit_detector
from training.optimise import FitProgress
from training.ranks import ALONE, Ranks
from training.read import History
from training.report import ScoredPart, render_report
from training.second_opinion import NOVEL_SHARE, add_second_opinion
from training.split import Split, split_history

_MAX_CATEGORIES = 1_000
_MIN_CATEGORY_ROWS = 5
_LIBRARIES = ("torch", "onnx", "onnxruntime", "numpy", "polars", "scikit-learn")


@dataclass(frozen=True)
class TrainingJob:
    """What to train and how.

    Attributes:
        schema: what the columns mean.
        fit: hyperparameters.
        policy, decline: threshold policies.
        label_delay: None takes the schema's.
        labels: ``use``: a second opinion learns from the labels, and the gate may refuse it.
        novel_share: of any budget of alerts, for the first opinion, in (0, 1).
        seed: of everything random.
        device: ``auto`` takes a GPU where there is one.
    """

    schema: TransactionSchema
    fit: FitOptions = field(default_factory=FitOptions)
    policy: Policy = field(default_factory=lambda: Policy(name="alert-rate", value=0.005))
    decline: Policy | None = None
    label_delay: str | None = None
    labels: Literal["use", "ignore"] = "ignore"
    novel_share: float = NOVEL_SHARE
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        refuse_signed_ratios(self.schema, f"profile '{self.schema.name}'")


@dataclass(frozen=True)
class _Prepared:
    """A history that is ready to be trained on.

    Attributes:
        schema: without cycles that the training part does not cover.
        late: rows that were ahead of the clock and are left out.
        states: after the last row; None without behaviour features.
        train_rows: what the detector learns: of the training part, what is not known to be fraud.
        batch: all rows.
    """

    schema: TransactionSchema
    delay: str
    behaviour: Behaviour
    history: History
    late: int
    split: Split
    states: Snapshot | None
    train_rows: NDArray[np.int64]
    vocabulary: Vocabulary
    batch: Batch
    layout: Layout


def _prepare(job: TrainingJob, history: History, on_stage: Callable[[str], None]) -> _Prepared:
    schema = job.schema
    delay = job.label_delay or schema.label_delay
    behaviour = Behaviour(schema)
    history, late = _up_to_now(schema, history)
    split = split_history(history, schema, delay, warm_up_end(behaviour, history.time))
    schema = without_uncovered_cycles(schema, history.time[split.train])
    states: Snapshot | None = None
    if behaviour:
        on_stage("replaying")
        history, states = _remembered(behaviour, history)
    train_rows = split.train[history.fitted[split.train]]
    vocabulary = fit_vocabulary(history, train_rows)
    batch = history.batch(vocabulary)
    layout = Layout.of(schema, vocabulary)
    job.fit.config(layout)  # what cannot work is refused before any work
    for policy in (job.policy, job.decline):
        if policy is not None:
            require_cases(policy, int((history.label[split.calibration] == FRAUD).sum()))
    return _Prepared(schema, delay, behaviour, history, late, split, states, train_rows, vocabulary, batch, layout)


def _fit(
    job: TrainingJob, prepared: _Prepared, ranks: Ranks, on_progress: Callable[[FitProgress], None] | None
) -> FitResult:
    fitted = prepared.batch.take(prepared.train_rows)
    if prepared.behaviour:
        fitted = replace(fitted, numeric=forget_some(prepared.behaviour, fitted.numeric, job.seed))
    device = _device(job.device) if ranks.count == 1 else "cpu"
    return fit_detector(
        fitted, prepared.layout, job.fit, seed=job.seed, device=device, ranks=ranks, on_progress=on_progress
    )


def help_training(job: TrainingJob, history: History, ranks: Ranks) -> None:
    """Train together with the process that publishes the version, and leave the rest to it.

    Raises:
        InvalidInput: as for :func:`train`.
    """
    _fit(job, _prepare(job, history, lambda stage: None), ranks, None)


def train(
    job: TrainingJob,
    history: History,
    registry: Registry,
    *,
    ranks: Ranks = ALONE,
    on_progress: Callable[[FitProgress], None] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    report: Callable[..., bytes] = render_report,
) -> tuple[Manifest, Path]:
    """Train on a history and publish the version; activating it is the caller's decision.

    Args:
        ranks: of processes that train together, of which this is the first; the others call :func:`help_training`.
        report: makes the report, with the arguments of :func:`render_report`: it takes longer than a small training.

    Returns:
        The manifest and the version's folder.

    Raises:
        InvalidInput: the data or the options cannot give a model; nothing is published.
        CounterfoilError: the exported graph does not reproduce torch; nothing is published.
    """
    prepared = _prepare(job, history, on_stage)
    schema, split, batch, layout = prepared.schema, prepared.split, prepared.batch, prepared.layout
    history, train_rows, states = prepared.history, prepared.train_rows, prepared.states
    on_stage("training")
    result = _fit(job, prepared, ranks, on_progress)
    second, ranked_by = _learn_from_labels(job, result.detector, prepared)
    on_stage("exporting")
    detector = export_onnx(result.detector)
    graph = Graph(detector, threads=torch.get_num_threads())
    golden = _golden(result.detector, graph, batch.take(train_rows), layout, job.seed)
    on_stage("calibrating")
    held_out = split.calibration[history.fitted[split.calibration]]
    evidence = graph.run(batch.take(held_out), ranked_by)[0]
    calibration = calibrate(evidence)
    inputs = _policy_inputs(schema, history, batch, graph, split, ranked_by)
    threshold = choose_threshold(
        job.policy,
        calibration,
        legitimate=evidence,
        **known_cases(inputs),
        decline=job.decline,
    )
    on_stage("evaluating")
    test = batch.take(split.test)
    score = calibration.to_score(graph.run(test, ranked_by)[0])
    metrics = measure("test", score, history.label[split.test], threshold.score, labelled=history.labelled)
    now = datetime.now(UTC)
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        version=version_name(now, detector, threshold),
        created_at=now.isoformat(timespec="seconds"),
        transaction_schema=schema,
        key_fingerprint=schema.key_hasher.fingerprint if schema.hashed else "",
        vocabulary=[list(values) for values in prepared.vocabulary.values],
        calibration=calibration,
        threshold=threshold,
        policy_inputs=inputs,
        architecture=_architecture(result, job.fit),
        training=_record(job, prepared.delay, history, split, prepared.late, learned=ranked_by == EVIDENCE),
        metrics=metrics,
        reference=Reference.of(batch.take(train_rows), prepared.vocabulary),
        second_opinion=second,
        libraries={name: importlib.metadata.version(name) for name in _LIBRARIES},
        files={},
    )
    scorer = Scorer(Bundle(Path(), manifest, detector, golden), threads=torch.get_num_threads())
    page = report(
        scorer,
        ScoredPart.of(scorer, test, history.take(split.test)),
        loss=result.history,
        drilled=_drill(job, result.detector, batch, history, split, threshold.alert_rate, on_stage),
    )
    files = {
        DETECTOR: detector,
        GOLDEN: golden.model_dump_json().encode() + b"\n",
        REPORT: page,
    }
    if states is not None:
        files[STATES] = states.to_bytes()
    manifest = manifest.model_copy(update={"files": {name: sha256(data) for name, data in files.items()}})
    on_stage("publishing")
    return manifest, registry.publish(manifest, files)


def fit_vocabulary(history: History, rows: NDArray[np.int64]) -> Vocabulary:
    """The values of each categorical feature that occur often enough in the training rows, most frequent first."""
    values = []
    for column in history.text:
        counts = column.gather(rows).fill_null("").alias("value").value_counts(name="rows")
        frequent = counts.filter(pl.col("rows") >= _MIN_CATEGORY_ROWS).sort(["rows", "value"], descending=[True, False])
        values.append(tuple(frequent["value"].head(_MAX_CATEGORIES).to_list()))
    return Vocabulary(tuple(values))


def _remembered(behaviour: Behaviour, history: History) -> tuple[History, Snapshot]:
    """The history with its behaviour features, and the states after it: none where the features came with the rows."""
    kept: Mapping[EntityKey, State] = {}
    if history.behaviour is None:
        history, kept = remember(behaviour, history)
    if (drawn := history.drawn) is not None:
        return history, Snapshot(behaviour.spec, drawn.newest, drawn.states)
    return history, Snapshot(behaviour.spec, int(history.time[-1]), kept)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        usable = torch.zeros(1, device=name).device.type in ("cpu", "cuda")
    except (RuntimeError, AssertionError):
        usable = False
    if not usable:
        raise InvalidInput(f"device '{name}' is not available here; use cpu, cuda or auto")
    return name


def _learn_from_labels(
    job: TrainingJob, detector: FraudDetector, prepared: _Prepared
) -> tuple[SecondOpinionRecord | None, str]:
    """Give the detector a second opinion where that is asked for and good; and which output of the graph ranks then."""
    if job.labels == "ignore":
        return None, ERROR
    split, label = prepared.split, prepared.history.label
    train, later = ((prepared.batch.take(rows), label[rows]) for rows in (split.train, split.calibration))
    record = add_second_opinion(detector, _with_all_fraud(train, prepared), later, share=job.novel_share, seed=job.seed)
    return record, EVIDENCE if record.used else ERROR


def _with_all_fraud(train: tuple[Batch, NDArray[np.int8]], prepared: _Prepared) -> tuple[Batch, NDArray[np.int8]]:
    """The training part with the fraud of its time that was not drawn."""
    history, split = prepared.history, prepared.split
    if history.drawn is None or prepared.schema.timestamp is None:
        return train
    fraud, time = history.drawn.fraud, history.time
    belongs = (fraud.time >= time[split.train[0]]) & (fraud.time < time[split.calibration[0]])
    if fraud.known is not None:
        belongs &= fraud.known < time[split.test[0]]
    more = fraud.take(belongs)
    batch = Batch.concat([train[0], more.batch(prepared.vocabulary)])
    order = np.argsort(batch.time, kind="stable")
    return batch.take(order), np.concatenate([train[1], more.label])[order]


def _drill(
    job: TrainingJob,
    detector: FraudDetector,
    batch: Batch,
    history: History,
    split: Split,
    alert_rate: float,
    on_stage: Callable[[str], None],
) -> tuple[Unshown, ...]:
    """Recall on scenarios whose labels are hidden; empty without a second opinion, or where none are recorded."""
    if detector.second is None or history.scenario is None:
        return ()
    on_stage("drilling")
    parts = [
        DrillPart(batch.take(rows), history.label[rows], scenario_names(history.scenario.gather(rows)))
        for rows in (split.train, split.calibration, split.test)
    ]
    return drill(detector, *parts, alert_rate=alert_rate, share=job.novel_share, seed=job.seed)


def _golden(detector: FraudDetector, graph: Graph, train: Batch, layout: Layout, seed: int) -> Golden:
    """Rows whose every cell comes from another transaction, and some at the edges; torch must agree on them."""
    random = np.random.default_rng(seed)
    rows = random.integers(0, len(train), (GOLDEN_ROWS, layout.numeric + len(layout.categories) + 1))
    batch = Batch(
        np.take_along_axis(train.numeric, rows[:, : layout.numeric], axis=0),
        np.take_along_axis(train.categorical, rows[:, layout.numeric : -1], axis=0),
        train.time[rows[:, -1]],
    )
    batch.categorical[0] = 0
    batch.numeric[1] *= 1e3
    batch.numeric[2] *= -1e6
    batch.numeric[3, list(layout.nullable)] = np.nan
    error, contributions = graph.run(batch, ERROR, "contributions")
    evidence = graph.run(batch, EVIDENCE)[0] if detector.second else np.empty(0)
    reference, parts, *others = run_torch(detector, batch)
    scale = np.maximum(reference, 1e-12)
    both = np.abs(evidence - others[-1]) / np.maximum(others[-1], 1e-12) if detector.second else evidence
    off = max(
        float((np.abs(error - reference) / scale).max()),
        float((np.abs(contributions - parts) / scale[:, None]).max()),
        float(both.max(initial=0)),
    )
    if not (np.isfinite(error).all() and off <= GOLDEN_TOLERANCE):
        raise CounterfoilError(
            f"the exported graph differs from torch by {off:.1e} relative, above {GOLDEN_TOLERANCE:g}: not published"
        )
    return Golden.of(batch, error, contributions, evidence)


def _policy_inputs(
    schema: TransactionSchema, history: History, batch: Batch, graph: Graph, split: Split, ranked_by: str
) -> PolicyInputs:
    rows = split.calibration[history.label[split.calibration] == FRAUD]
    legitimate = int((history.label[split.train] != FRAUD).sum())
    span = int(history.time[split.train[-1]] - history.time[split.train[0]])
    return PolicyInputs(
        per_day=None if schema.timestamp is None else legitimate * history.each / max(span / 86_400e6, 1 / 24),
        fraud_error=graph.run(batch.take(rows), ranked_by)[0].tolist(),
        fraud_amount=np.nan_to_num(batch.numeric[rows, schema.numeric.index(schema.amount)]).tolist()
        if schema.amount
        else None,
    )


def _architecture(result: FitResult, options: FitOptions) -> Architecture:
    config = result.detector.autoencoder.config
    return Architecture(
        architecture=config.architecture,
        error="euclidean" if options.error == "euclidean" else "whitened",
        inputs=config.inputs,
        hidden=list(config.hidden),
        code_size=config.code_size,
        members=config.members,
        noise=config.noise,
        parameters=sum(p.numel() for p in result.detector.parameters()),
        steps=result.history[-1].step,
        grid=None if config.grid is None else list(config.grid),
    )


def _up_to_now(schema: TransactionSchema, history: History) -> tuple[History, int]:
    """The rows that are not ahead of the clock, and how many are."""
    late = ahead(schema, history.time)
    if late == len(history):
        raise all_ahead(late)
    return (history.take(slice(0, len(history) - late)) if late else history), late


def _record(
    job: TrainingJob, delay: str, history: History, split: Split, late: int, *, learned: bool
) -> TrainingRecord:
    def part(rows: NDArray[np.int64]) -> Part:
        label = history.label[rows]
        return Part(
            rows=len(rows),
            fraud=int((label == FRAUD).sum()),
            unlabelled=int((label == UNKNOWN).sum()),
            start=_moment(job.schema, history.time[rows[0]]) if len(rows) else None,
            end=_moment(job.schema, history.time[rows[-1]]) if len(rows) else None,
        )

    drawn = history.drawn
    late += 0 if drawn is None else drawn.late
    left_out = {AHEAD: late} if late else {}
    if drawn is not None:
        left_out[f"not drawn: {drawn.kept:,} rows of {drawn.of:,} are held, at random"] = drawn.of - drawn.kept
    if len(split.warm_up):
        left_out["warm-up (too little behind them)"] = len(split.warm_up)
    if fraud := int((history.label[len(split.warm_up) : len(history) - len(split.test)] == FRAUD).sum()):
        left_out[f"labelled fraud ({'only the second opinion learns from it' if learned else 'never fitted'})"] = fraud
    if history.disputed is not None and (disputed := int(history.disputed[: len(history) - len(split.test)].sum())):
        left_out["disputed (never fitted)"] = disputed
    if len(split.gap):
        since = f", or fraud known later by {job.schema.label_timestamp}" if job.schema.label_timestamp else ""
        left_out[f"label not known yet ({delay} before the test part{since})"] = len(split.gap)
    return TrainingRecord(
        fingerprint=history.fingerprint(),
        rows=len(history) if drawn is None else drawn.of,
        seed=job.seed,
        label_delay=delay,
        train=part(split.train),
        calibration=part(split.calibration),
        test=part(split.test),
        left_out=left_out,
    )


def _moment(schema: TransactionSchema, micros: np.int64) -> str | None:
    column = schema.columns[schema.timestamp] if schema.timestamp else None
    if column is None or column.kind != "timestamp":
        return None
    if column.elapsed:
        step = column.step_seconds
        return f"step {micros / 1e6 / step:g}" if step else f"{micros / 1e6:g} s"
    return datetime.fromtimestamp(micros / 1e6, UTC).isoformat(timespec="seconds")
