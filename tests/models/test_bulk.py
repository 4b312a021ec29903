"""Many rows: the decisions of one row at a time, and its scores but for the last digits."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest

from models.bulk import DOUBT, for_many
from models.parsing import parse_rows
from models.rows import Batch
from models.scorer import Scorer


@pytest.fixture(scope="module")
def batch(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> Batch:
    """The tiny payments."""
    return parse_rows(tiny_scorer.schema, tiny_frame).batch(tiny_scorer.vocabulary)


def altered(batch: Batch, rows: int, random: np.random.Generator) -> Batch:
    """So many rows made of the batch's: every number up to twice or half its size, some a thousand times."""
    some = batch.take(random.integers(0, len(batch), rows))
    factor = np.exp2(random.uniform(-1, 1, some.numeric.shape))
    factor[random.random(some.numeric.shape) < 0.01] *= 1_000
    return Batch(some.numeric * factor, some.categorical, some.time + random.integers(0, 10**12, rows))


def test_decisions_are_the_same_and_scores_nearly(
    tiny_scorer: Scorer, batch: Batch, pytestconfig: pytest.Config
) -> None:
    """The long form tries 10 million rows; minutes."""
    rows, at_once = (10_000_000, 100_000) if pytestconfig.getoption("--long", default=False) else (20_000, 20_000)
    many, random = for_many(tiny_scorer), np.random.default_rng(0)
    assert many is not tiny_scorer
    worst = worst_score = 0.0
    for _ in range(0, rows, at_once):
        some = altered(batch, at_once, random)
        exact, found = tiny_scorer.score(some), many.score(some)
        np.testing.assert_array_equal(found.decision, exact.decision)
        np.testing.assert_array_equal(found.is_anomaly, exact.is_anomaly)
        worst = max(worst, float((np.abs(found.evidence - exact.evidence) / exact.evidence).max()))
        worst_score = max(worst_score, float(np.abs(found.score - exact.score).max()))
    print(f"{rows:,} rows: evidence within {worst:.1e}, score within {worst_score:.1e}")
    assert worst < DOUBT / 100
    assert worst_score < 1e-9


def test_a_row_at_the_threshold_is_decided_as_alone(tiny_scorer: Scorer, batch: Batch) -> None:
    exact, loose = tiny_scorer.score(batch), for_many(tiny_scorer).score(batch)
    apart = np.flatnonzero(exact.evidence != loose.evidence)[:20]
    assert len(apart)
    for row in apart:
        at = copy.copy(tiny_scorer)
        threshold = at.manifest.threshold.model_copy(update={"score": float(exact.score[row])})
        at.manifest = at.manifest.model_copy(update={"threshold": threshold})
        found = for_many(at).score(batch)
        assert found.is_anomaly[row]
        assert found.evidence[row] == exact.evidence[row]
        np.testing.assert_array_equal(found.decision, at.score(batch).decision)


def test_where_calibration_is_steep_the_score_is_that_of_a_row_alone(tiny_scorer: Scorer, batch: Batch) -> None:
    exact, loose = tiny_scorer.score(batch), for_many(tiny_scorer).score(batch)
    row = int(np.flatnonzero(exact.evidence != loose.evidence)[0])
    error, steep = float(exact.evidence[row]), copy.copy(tiny_scorer)
    knots = {"error": [0.0, error * (1 - 1e-15), error * (1 + 1e-15), error * 9], "score": [0.0, 0.1, 0.8, 0.9]}
    calibration = steep.manifest.calibration.model_copy(update=knots)
    calibration.__dict__.pop("_knots", None)
    steep.manifest = steep.manifest.model_copy(update={"calibration": calibration})
    np.testing.assert_allclose(for_many(steep).score(batch).score, steep.score(batch).score, atol=1e-8)


def test_few_rows_and_reasons_are_those_of_the_scorer(tiny_scorer: Scorer, batch: Batch) -> None:
    many = for_many(tiny_scorer)
    for rows in (0, 1, 63):
        some = batch.take(slice(0, rows))
        np.testing.assert_array_equal(many.score(some).score, tiny_scorer.score(some).score)
    explained = many.score(batch, explain=True)
    np.testing.assert_array_equal(explained.expected, tiny_scorer.score(batch, explain=True).expected)
    row = int(explained.score.argmax())
    assert many.reasons(batch, explained, row, 3) == tiny_scorer.reasons(batch, explained, row, 3)
