"""A new threshold for an existing version: the same network, another policy, nothing measured that was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import InvalidInput
from models.manifest import DETECTOR
from models.parsing import parse_rows
from models.registry import Registry
from models.rethreshold import rethreshold
from models.scorer import Scorer
from models.tables import TableReader
from models.thresholds import Policy


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "artifacts")


def test_same_network_other_threshold(tiny_model: Path, registry: Registry, tiny_csv: Path) -> None:
    manifest, folder = rethreshold(tiny_model, registry, Policy(name="alert-rate", value=0.02))
    old, new = Scorer.load(tiny_model), Scorer.load(folder)
    assert (folder / DETECTOR).read_bytes() == (tiny_model / DETECTOR).read_bytes()
    assert new.manifest.version == manifest.version != old.manifest.version
    assert new.manifest.threshold.score == pytest.approx(0.98)
    [chunk] = TableReader(tiny_csv).chunks()
    batch = parse_rows(old.schema, chunk.frame).batch(old.vocabulary)
    before, after = old.score(batch), new.score(batch)
    np.testing.assert_array_equal(before.score, after.score)
    assert 0 < after.is_anomaly.sum() < before.is_anomaly.sum()


def test_what_depends_on_the_threshold_is_not_measured(tiny_model: Path, registry: Registry) -> None:
    manifest, folder = rethreshold(tiny_model, registry, Policy(name="alert-rate", value=0.02))
    metrics, old = manifest.metrics, Scorer.load(tiny_model).manifest.metrics
    assert (metrics.alert_rate, metrics.precision, metrics.recall) == (None, None, None)
    assert (metrics.roc_auc, metrics.average_precision) == (old.roc_auc, old.average_precision)
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert f"{manifest.threshold.score:.6f}, derived anew" in report
    assert report.index("derived anew") > report.index("<body")


def test_alerts_per_day_uses_the_training_volume(tiny_model: Path, registry: Registry) -> None:
    per_day = Scorer.load(tiny_model).manifest.policy_inputs.per_day
    assert per_day is not None
    assert 150 < per_day < 300  # 200 simulated cards pay about once a day
    manifest, _ = rethreshold(tiny_model, registry, Policy(name="alerts-per-day", value=5))
    assert manifest.threshold.alert_rate == pytest.approx(5 / per_day)


def test_a_decline_threshold_comes_second(tiny_model: Path, registry: Registry) -> None:
    review, decline = Policy(name="alert-rate", value=0.05), Policy(name="alert-rate", value=0.01)
    manifest, _ = rethreshold(tiny_model, registry, review, decline=decline)
    assert manifest.threshold.decline == pytest.approx(0.99)
    with pytest.raises(InvalidInput, match="stricter decline policy"):
        rethreshold(tiny_model, registry, decline, decline=review)


def test_a_policy_without_enough_fraud_is_refused_with_the_count(tiny_model: Path, registry: Registry) -> None:
    with pytest.raises(InvalidInput, match=r"min-recall needs at least 25 labelled fraud rows .* found \d+"):
        rethreshold(tiny_model, registry, Policy(name="min-recall", value=0.5))
    assert registry.versions() == []


def test_the_threshold_that_is_not_named_keeps_its_own(tiny_model: Path, registry: Registry) -> None:
    review, decline = Policy(name="alert-rate", value=0.05), Policy(name="alert-rate", value=0.01)
    first, folder = rethreshold(tiny_model, registry, review, decline=decline)
    second, _ = rethreshold(folder, registry, Policy(name="alert-rate", value=0.03))
    assert second.threshold.decline_policy == decline
    third, _ = rethreshold(folder, registry, None, decline=Policy(name="alert-rate", value=0.002))
    assert third.threshold.policy == review == first.threshold.policy
    assert third.threshold.decline == pytest.approx(0.998)
