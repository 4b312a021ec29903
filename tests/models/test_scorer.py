"""One way to a score: alone, in a batch, in blocks, on threads, it is the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from models.graph import BLOCK_ROWS
from models.parsing import parse_rows
from models.rows import Batch
from models.scorer import Scorer, Scores


@pytest.fixture(scope="module")
def batch(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> Batch:
    """The tiny payments, encoded."""
    return parse_rows(tiny_scorer.schema, tiny_frame).batch(tiny_scorer.vocabulary)


def agree(one: Scores, other: Scores) -> None:
    """Equal to 1e-12 relative to the row's error; discrete outputs equal."""
    scale = np.maximum(other.error, 1e-9)
    assert (np.abs(one.error - other.error) / scale).max(initial=0) < 1e-12
    assert (np.abs(one.contributions - other.contributions).max(axis=1, initial=0) / scale).max(initial=0) < 1e-9
    np.testing.assert_allclose(one.score, other.score, rtol=1e-11)
    np.testing.assert_array_equal(one.is_anomaly, other.is_anomaly)
    np.testing.assert_array_equal(one.decision, other.decision)
    np.testing.assert_allclose(one.expected, other.expected, rtol=1e-6, atol=1e-9)


def joined(parts: list[Scores]) -> Scores:
    """Scores of consecutive batches as of one."""
    return Scores(*(np.concatenate([getattr(part, name) for part in parts]) for name in Scores.__dataclass_fields__))


def test_one_row_and_a_batch_give_the_same(tiny_scorer: Scorer, batch: Batch) -> None:
    some = batch.take(slice(0, 300))
    alone = joined([tiny_scorer.score(some.take(slice(i, i + 1)), explain=True) for i in range(300)])
    agree(alone, tiny_scorer.score(some, explain=True))


@pytest.mark.parametrize("rows", [1, 2, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS, 2 * BLOCK_ROWS + 1])
@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_and_threads_do_not_show(
    tiny_scorer: Scorer, tiny_model: Path, batch: Batch, rows: int, threads: int
) -> None:
    many = batch.take(np.arange(rows) % len(batch))
    scores = Scorer.load(tiny_model, threads=threads).score(many, explain=True)
    assert len(scores.error) == rows
    agree(scores, joined([tiny_scorer.score(many.take(slice(i, i + 500)), explain=True) for i in range(0, rows, 500)]))


def test_no_rows(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch.take(slice(0, 0)), explain=True)
    features = len(tiny_scorer.schema.features)
    assert scores.error.shape == scores.score.shape == scores.is_anomaly.shape == scores.decision.shape == (0,)
    assert scores.contributions.shape == scores.expected.shape == (0, features)
    assert tiny_scorer.codes(batch.take(slice(0, 0))).shape == (0, tiny_scorer.manifest.architecture.code_size)


def test_contributions_sum_to_the_error(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch, explain=True)
    np.testing.assert_allclose(scores.contributions.sum(1), scores.error, rtol=1e-6)
    assert (scores.error >= 0).all()
    assert scores.contributions.shape == scores.expected.shape == (len(batch), len(tiny_scorer.schema.features))


def test_equality_at_the_threshold_is_an_anomaly(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch)
    threshold = tiny_scorer.manifest.threshold
    np.testing.assert_array_equal(scores.is_anomaly, scores.score >= threshold.score)
    np.testing.assert_array_equal(scores.decision > 0, scores.is_anomaly)
    assert 0 < scores.is_anomaly.sum() < len(batch)
    # A threshold exactly at a row's score takes the row in.
    at = threshold.model_copy(update={"score": float(np.sort(scores.score)[-10])})
    assert at.is_anomaly(scores.score).sum() >= 10


def test_the_golden_rows_replay(tiny_scorer: Scorer) -> None:
    golden = tiny_scorer.bundle.golden
    np.testing.assert_allclose(tiny_scorer.evidence(golden.batch()), golden.error, rtol=1e-9)


def test_extremes_stay_finite_and_rank_high(tiny_scorer: Scorer, batch: Batch) -> None:
    normal = tiny_scorer.score(batch, explain=True)
    wild = batch.take(slice(0, 8))
    numeric = wild.numeric.copy()
    numeric[0::2, 0] = 3.4e38
    numeric[1::2, 0] = -3.4e38
    wild = Batch(numeric, np.zeros_like(wild.categorical), np.full(8, 253_402_300_799_999_999))
    scores = tiny_scorer.score(wild, explain=True)
    for array in (scores.error, scores.score, scores.contributions, scores.expected):
        assert np.isfinite(array).all()
    assert scores.score.min() > np.quantile(normal.score, 0.99)
    assert (scores.score < 1).all()


def test_all_missing_is_scored(tiny_scorer: Scorer, batch: Batch) -> None:
    one = batch.take(slice(0, 1))
    nothing = Batch(np.full_like(one.numeric, np.nan), one.categorical * 0, one.time)
    assert np.isfinite(tiny_scorer.score(nothing).error).all()


def test_many_callers_at_once(tiny_scorer: Scorer, batch: Batch) -> None:
    expected = tiny_scorer.score(batch).score
    with ThreadPoolExecutor(8) as pool:
        for score in pool.map(lambda _: tiny_scorer.score(batch).score, range(24)):
            np.testing.assert_array_equal(score, expected)


def test_fraud_scores_higher(tiny_scorer: Scorer, tiny_frame: pl.DataFrame, batch: Batch) -> None:
    score = tiny_scorer.score(batch).score
    fraud = tiny_frame["is_fraud"].to_numpy() == 1
    assert np.median(score[fraud]) > np.quantile(score[~fraud], 0.7)


def test_reasons_are_the_largest_parts_where_there_is_no_alert(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch, explain=True)
    row = int(np.flatnonzero(~scores.is_anomaly)[0])
    reasons = tiny_scorer.reasons(batch, scores, row, 3)
    features = tiny_scorer.schema.features
    order = np.argsort(-scores.contributions[row])[:3]
    assert [reason.feature for reason in reasons] == [features[i] for i in order]
    assert [reason.share for reason in reasons] == pytest.approx(scores.contributions[row, order] / scores.error[row])
    everything = tiny_scorer.reasons(batch, scores, row, 99)
    assert sum(reason.share for reason in everything) == pytest.approx(1)
    assert tiny_scorer.reasons(batch, scores, row, 0) == []


def test_an_alerts_first_reason_explains_it_best(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch, explain=True)
    for row in np.argsort(-scores.error)[:5]:
        assert scores.is_anomaly[row]
        reasons = tiny_scorer.reasons(batch, scores, int(row), 8, verify=True)
        drops = [reason.verified.drop for reason in reasons if reason.verified]
        assert len(drops) == 7 and drops == sorted(drops, reverse=True)
        assert drops[0] > 0
        unverified = tiny_scorer.reasons(batch, scores, int(row), 3)
        assert [reason.feature for reason in unverified] == [reason.feature for reason in reasons[:3]]


def test_a_verified_reason_says_what_scoring_again_gives(tiny_scorer: Scorer, batch: Batch) -> None:
    scores = tiny_scorer.score(batch, explain=True)
    amount = tiny_scorer.schema.features.index("amount")
    row = int(scores.contributions[:, amount].argmax())
    reasons = tiny_scorer.reasons(batch, scores, row, 99, verify=True)
    [reason] = [reason for reason in reasons if reason.feature == "amount"]
    assert reason.verified is not None and isinstance(reason.expected, float)
    numeric = batch.numeric[row : row + 1].copy()
    numeric[0, amount] = reason.expected
    one = batch.take(slice(row, row + 1))
    again = tiny_scorer.score(Batch(numeric, one.categorical, one.time))
    assert reason.verified.score == pytest.approx(again.score[0], rel=1e-9)
    assert reason.verified.drop == pytest.approx(scores.score[row] - again.score[0], abs=1e-9)
    assert reason.verified.flips == bool(again.decision[0] != scores.decision[row])
