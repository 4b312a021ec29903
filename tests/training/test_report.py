"""The report as a page: self-contained, escaped, reproducible, and there for every kind of data."""

from __future__ import annotations

import dataclasses
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest

from models.registry import Registry
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, Batch
from models.schema import TransactionSchema, parse_schema
from models.scorer import Scorer
from models.thresholds import Policy
from tests.tiny import no_report
from training.fit import FitOptions
from training.optimise import FitProgress
from training.read import History, read_history
from training.report import ScoredPart, render_report
from training.report.alerts import look_at_alerts
from training.report.clock import Clock
from training.train import TrainingJob, train

LOSS = tuple(FitProgress(step, 60, 1 / step, 1.1 / step + 0.01, 1e-3, 0.0) for step in range(10, 70, 10))
VOID = {"meta", "br", "link", "img", "input", "hr"}


@pytest.fixture(scope="module")
def tiny_part(tiny_scorer: Scorer, tiny_csv: Path) -> ScoredPart:
    """All simulated payments, scored."""
    history = read_history(tiny_scorer.schema, [tiny_csv])
    return ScoredPart.of(
        tiny_scorer, Batch(history.numeric, tiny_scorer.vocabulary.encode(history.text), history.time), history
    )


class Page(HTMLParser):
    """Checks that tags nest, collects ids, and notes anything a browser would load or run."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.text = ""
        self.feed(page.decode())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "action", "data", "srcset") and not (value or "").startswith("#"):
                self.loads.append(f"{name}={value}")
            if name.startswith("on"):
                self.loads.append(name)
        if tag in ("script", "iframe", "object", "embed", "link", "img", "base", "form", "foreignobject"):
            self.loads.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(scorer: Scorer, part: ScoredPart, **options: Any) -> Page:
    """A report that passes every check a page must pass."""
    page = render_report(scorer, part, loss=options.pop("loss", LOSS), **options)
    parsed = Page(page)
    assert parsed.loads == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert b"http:" not in page and b"https:" not in page and b"@import" not in page
    assert set(re.findall(rb"url\((.)", page)) <= {b"#"}
    assert len(page) < 1_500_000
    for word in ("nan", "inf", "None", "confidence", "accuracy"):
        assert not re.search(rf"\b{word}\b", parsed.text), word
    assert "fraud probability" not in parsed.text
    return parsed


def changed(part: ScoredPart, **fields: Any) -> ScoredPart:
    return dataclasses.replace(part, history=dataclasses.replace(part.history, **fields))


def taken(scorer: Scorer, part: ScoredPart, rows: np.ndarray) -> ScoredPart:
    return ScoredPart.of(scorer, part.batch.take(rows), part.history.take(rows))


def trained(schema: TransactionSchema, history: History, folder: Path, **options: Any) -> tuple[Scorer, ScoredPart]:
    fit = FitOptions(hidden=(8,), members=2, steps=60, **options)
    job = TrainingJob(schema, fit=fit, policy=Policy(name="alert-rate", value=0.05))
    _, version = train(job, history, Registry(folder), report=no_report)
    scorer = Scorer.load(version)
    codes = scorer.vocabulary.encode(history.text) if history.text else np.empty((len(history), 0), np.int64)
    return scorer, ScoredPart.of(scorer, Batch(history.numeric, codes, history.time), history)


def numbers(columns: int, rows: int = 400, *, time: bool = False) -> tuple[TransactionSchema, History]:
    body: dict[str, Any] = {f"x{i}": {"kind": "numeric"} for i in range(columns)}
    if time:
        body["t"] = {"kind": "timestamp", "format": "elapsed-s", "cycles": []}
    schema = parse_schema({"name": "numbers", "columns": body | {"y": {"kind": "label"}}}, source="test")
    random = np.random.default_rng(columns)
    label = (random.random(rows) < 0.05).astype(np.int8)
    values = random.standard_normal((rows, columns)) + 4 * label[:, None]
    moments = np.sort(random.integers(0, 40 * 86_400_000_000, rows)) if time else np.zeros(rows, np.int64)
    return schema, History(values, (), moments, label, True, {}, None)


def test_the_full_page(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    page = rendered(tiny_scorer, tiny_part)
    for text in (
        "What another threshold would do",
        "Fraud alerted, by scenario",
        "card precision@100",
        "Does the threshold keep its promise?",
        "Score by day",
        "Precision and recall",
        "ROC curve",
        "What a threshold costs",
        "Course of training",
        "Which features make alerts",
        "Verified reasons: in ",
        tiny_scorer.manifest.training.fingerprint,
        "5.00\u00a0EUR",
        "it was read once",
    ):
        assert text in re.sub(r"[ \n]+", " ", page.text), text


def test_an_alert_says_what_was_paid_where(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    shown = look_at_alerts(tiny_scorer, tiny_part, Clock(tiny_scorer.schema, tiny_part.history.time))
    assert shown.categories == ("category", "channel", "country")
    order = np.argsort(-tiny_part.scores.score, kind="stable")[: len(shown.highest)]
    for row, alert in zip(order.tolist(), shown.highest, strict=True):
        paid = tiny_part.batch.numeric[row, tiny_scorer.schema.numeric.index("amount")]
        assert alert.amount == f"{paid:,.2f}\u00a0EUR"
        assert alert.categories == tuple(cells[row] for cells in tiny_part.history.text)
        assert not any(word in reason.text for reason in alert.reasons for word in ("latitude", "longitude"))


def test_no_card_is_named(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    page = render_report(tiny_scorer, tiny_part, loss=None).decode()
    for column in tiny_part.history.entity.values():
        assert not any(value in page for value in column.unique())


def test_the_same_data_give_the_same_bytes_and_settings_are_left_alone(
    tiny_scorer: Scorer, tiny_part: ScoredPart
) -> None:
    before = dict(mpl.rcParams)
    first = render_report(tiny_scorer, tiny_part, loss=LOSS)
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "svg.hashsalt": "other"}):
        assert render_report(tiny_scorer, tiny_part, loss=LOSS) == first
    assert dict(mpl.rcParams) == before


def test_later_data_have_no_course_of_training(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    page = rendered(tiny_scorer, tiny_part, loss=None)
    assert "an evaluation of other data" in page.text
    assert "Course of training" not in page.text
    assert "read once" not in page.text


def test_hostile_text_is_escaped(tiny_part: ScoredPart, tmp_path: Path) -> None:
    evil = '</style><script>alert("$x$")</script>'
    body = {evil: {"kind": "numeric"}, "k": {"kind": "categorical"}, "y": {"kind": "label"}, "s": {"kind": "scenario"}}
    schema = parse_schema({"name": "hostile", "columns": body}, source="test")
    random = np.random.default_rng(0)
    label = (random.random(400) < 0.1).astype(np.int8)
    kinds = pl.Series("k", np.where(random.random(400) < 0.5, evil, "<b>$&"))
    scenario = pl.Series("s", np.where(label == FRAUD, "<img src=x onerror=alert(1)> 4111111111111111", ""))
    values = random.standard_normal((400, 1)) + 5 * label[:, None]
    history = History(values, (kinds,), np.zeros(400, np.int64), label, True, {}, scenario)
    scorer, part = trained(schema, history, tmp_path)
    page = rendered(scorer, part)
    assert evil in page.text and "4111111111111111" not in page.text
    page = rendered(scorer, changed(part, scenario=pl.Series("s", ["<i>"] * 400)))
    assert "<i>" in page.text


def test_without_labels(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    label = np.full(len(tiny_part), UNKNOWN, np.int8)
    for labelled in (False, True):
        page = rendered(tiny_scorer, changed(tiny_part, label=label, labelled=labelled))
        assert "Without labels nothing can be said" in page.text
        assert "ROC AUC" not in page.text and "a perfect order" not in page.text
        assert "all transactions stand in" in page.text


def test_without_fraud(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    page = rendered(tiny_scorer, changed(tiny_part, label=np.full(len(tiny_part), LEGITIMATE, np.int8)))
    assert "Without labelled fraud nothing can be said" in page.text


def test_with_fraud_only(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    page = rendered(tiny_scorer, changed(tiny_part, label=np.full(len(tiny_part), FRAUD, np.int8)))
    assert "cannot be checked" in page.text


def test_some_labels_unknown(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    label = np.where(np.arange(len(tiny_part)) % 3 == 0, UNKNOWN, tiny_part.history.label).astype(np.int8)
    page = rendered(tiny_scorer, changed(tiny_part, label=label))
    assert "without a known label" in page.text and "with a known label" in page.text


@pytest.mark.parametrize("names", [None, "", "many"])
def test_scenarios_missing_empty_or_many(tiny_scorer: Scorer, tiny_part: ScoredPart, names: str | None) -> None:
    column = None if names is None else pl.Series("s", [""] * len(tiny_part))
    if names == "many":
        column = pl.Series("s", [f"kind {i}" for i in range(len(tiny_part))])
    page = rendered(tiny_scorer, changed(tiny_part, scenario=column))
    assert ("rarer scenarios" if names else "The data name no fraud scenarios") in page.text


def test_without_an_alert(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    quiet = np.flatnonzero(tiny_part.scores.score < tiny_scorer.manifest.threshold.score)
    page = rendered(tiny_scorer, taken(tiny_scorer, tiny_part, quiet))
    assert "raised an alert" in page.text and "These have the highest scores" in page.text


@pytest.mark.parametrize("rows", [1, 2, 20])
def test_tiny_parts(tiny_scorer: Scorer, tiny_part: ScoredPart, rows: int) -> None:
    rendered(tiny_scorer, taken(tiny_scorer, tiny_part, np.arange(rows)))
    highest = np.sort(np.argsort(-tiny_part.scores.score)[:rows])
    rendered(tiny_scorer, taken(tiny_scorer, tiny_part, highest))


def test_one_feature_without_time(tmp_path: Path) -> None:
    schema, history = numbers(1)
    page = rendered(*trained(schema, history, tmp_path, architecture="overcomplete"))
    assert "alerts per 1,000 transactions" in page.text and "the data have no timestamps" in page.text
    assert "No cost curve" in page.text


def test_elapsed_time_by_week(tmp_path: Path) -> None:
    page = rendered(*trained(*numbers(3, time=True), tmp_path))
    assert "Score by week" in page.text and "day 2" in page.text


def test_very_many_features(tmp_path: Path) -> None:
    scorer, part = trained(*numbers(500, rows=150), tmp_path, code_size=4)
    page = rendered(scorer, part)
    assert "480 other features together" in page.text


def test_very_many_rows_take_seconds(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    times = -(-600_000 // len(tiny_part))
    rows = np.tile(np.arange(len(tiny_part)), times)[:600_000]
    history = tiny_part.history.take(rows)
    scores = dataclasses.replace(
        tiny_part.scores, evidence=tiny_part.scores.evidence[rows], score=tiny_part.scores.score[rows]
    )
    part = ScoredPart(tiny_part.batch.take(rows), history, scores)
    started = time.process_time()
    rendered(tiny_scorer, part)
    assert time.process_time() - started < 20  # twice the promise: the suite shares a busy machine
