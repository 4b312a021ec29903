"""A reason is checked by putting its feature back: only that feature changes, and for an alert the score falls."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from models import scorer as scorer_module
from models.graph import Graph
from models.parsing import parse_rows
from models.reasons import put_back
from models.rows import Batch
from models.schema import TransactionSchema
from models.scorer import KEPT, Asked, Scorer, Scores


@pytest.fixture(scope="module")
def scored(tiny_scorer: Scorer, tiny_frame: pl.DataFrame) -> tuple[Batch, Scores]:
    batch = parse_rows(tiny_scorer.schema, tiny_frame).batch(tiny_scorer.vocabulary)
    return batch, tiny_scorer.score(batch, explain=True)


class Overflowing(Graph):
    """Says that every number is infinite."""

    def run(self, batch: Batch, *outputs: str) -> list[NDArray[np.float64]]:
        return [np.full_like(output, np.inf) for output in super().run(batch, *outputs)]


def chosen(schema: TransactionSchema, features: list[int]) -> NDArray[np.bool_]:
    """One feature of each row."""
    mask: NDArray[np.bool_] = np.array(features)[:, None] == np.arange(len(schema.features))
    return mask


def neutralised(
    scorer: Scorer, batch: Batch, expected: NDArray[np.float64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], Scores]:
    """What is expected of chosen features at last, all in float64, and the scores of the rows with it."""
    for _ in KEPT[scorer.manifest.ranked_by]:
        expected = scorer.graph.run(put_back(scorer.schema, batch, expected, mask), "expected")[0]
    return expected, scorer.score(put_back(scorer.schema, batch, expected, mask))


def test_only_the_named_feature_is_put_back(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    schema = tiny_scorer.schema
    few = batch.take(slice(0, 20))
    for feature, name in enumerate(schema.features):
        back = put_back(schema, few, scores.expected[:20], chosen(schema, [feature] * 20))
        if feature < len(schema.numeric):
            np.testing.assert_array_equal(back.numeric[:, feature], scores.expected[:20, feature])
            kept = np.delete(back.numeric, feature, axis=1)
            np.testing.assert_array_equal(kept, np.delete(few.numeric, feature, axis=1))
            np.testing.assert_array_equal(back.time, few.time)
        elif name.endswith(".hour"):
            np.testing.assert_array_equal(back.time // 86_400_000_000, few.time // 86_400_000_000)
            hours = back.time % 86_400_000_000 / 3.6e9
            np.testing.assert_allclose(hours, scores.expected[:20, feature], atol=1e-6)
        elif name.endswith(".weekday"):
            np.testing.assert_array_equal(back.time % 86_400_000_000, few.time % 86_400_000_000)
            weekday = (back.time // 86_400_000_000 + 3) % 7
            np.testing.assert_array_equal(weekday, scores.expected[:20, feature].astype(int))
        else:
            np.testing.assert_array_equal(back.numeric, few.numeric)
            np.testing.assert_array_equal(back.time, few.time)


def test_the_top_reason_of_an_alert_lowers_its_score(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    alerts = np.flatnonzero(scores.is_anomaly)
    assert len(alerts) > 20
    top = [tiny_scorer.reasons(batch, scores, int(row), 1, verify=True)[0] for row in alerts]
    assert np.mean([reason.verified is not None and reason.verified.drop > 0 for reason in top]) >= 0.9


def test_verified_says_what_scoring_again_says(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    row = int(scores.score.argmax())
    one = batch.take(slice(row, row + 1))
    for reason in tiny_scorer.reasons(batch, scores, row, 3, verify=True):
        names = reason.feature.split("/")  # a latitude and a longitude are put back together
        mask = np.isin(tiny_scorer.schema.features, names)[None]
        settled, again = neutralised(tiny_scorer, one, scores.expected[[row]], mask)
        feature = tiny_scorer.schema.features.index(names[0])
        assert reason.verified is not None
        assert reason.verified.score == pytest.approx(float(again.score[0]), rel=1e-6)
        assert reason.verified.drop == pytest.approx(float(scores.score[row] - again.score[0]))
        assert reason.verified.flips == (again.decision[0] != scores.decision[row])
        if len(names) == 1 and feature < len(tiny_scorer.schema.numeric):
            assert reason.expected == pytest.approx(settled[0, feature])


def test_expected_numbers_stay_within_the_schemas_bounds(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    for row in np.argsort(-scores.score)[:50]:
        for reason in tiny_scorer.reasons(batch, scores, int(row), 5):
            if reason.feature in ("amount", "account_age_days"):
                assert isinstance(reason.expected, float)
                assert reason.expected >= 0


def test_reasons_of_an_alert_are_ordered_by_effect(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    row = int(scores.score.argmax())
    drops = [r.verified.drop for r in tiny_scorer.reasons(batch, scores, row, 5, verify=True) if r.verified]
    assert drops == sorted(drops, reverse=True)


def test_scores_without_what_was_expected_have_the_same_reasons(
    tiny_scorer: Scorer, scored: tuple[Batch, Scores]
) -> None:
    batch, scores = scored
    alone = tiny_scorer.score(batch)
    for row in (int(scores.score.argmax()), int(scores.score.argmin())):
        assert tiny_scorer.reasons(batch, alone, row, 3) == tiny_scorer.reasons(batch, scores, row, 3)


def test_giving_up_on_causes_changes_no_reason(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    """Where all reasons there are is asked for, none is given up."""
    batch, scores = scored
    for row in np.argsort(-scores.evidence)[:40].tolist():
        assert tiny_scorer.reasons(batch, scores, row, 3) == tiny_scorer.reasons(batch, scores, row, 99)[:3]


def test_reasons_settled_in_float32_read_like_those_of_float64(
    tiny_scorer: Scorer, scored: tuple[Batch, Scores]
) -> None:
    batch, scores = scored
    exactly = copy.copy(tiny_scorer)
    exactly.__dict__["_rough"] = tiny_scorer.graph
    asked = [Asked(row, 3) for row in np.argsort(-scores.evidence)[:40].tolist()]
    found = [tiny.reasons_of(batch, scores, asked) for tiny in (tiny_scorer, exactly)]
    assert found[0] != found[1]
    texts = [[(reason.feature, reason.text) for reasons in one for reason in reasons] for one in found]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("of", ["a graph that float32 cannot hold", "a row that float32 cannot hold"])
def test_what_float32_cannot_hold_is_settled_in_float64(
    tiny_scorer: Scorer, scored: tuple[Batch, Scores], monkeypatch: pytest.MonkeyPatch, of: str
) -> None:
    batch, scores = scored
    row = int(scores.score.argmax())
    exactly, rough = copy.copy(tiny_scorer), copy.copy(tiny_scorer)
    exactly.__dict__["_rough"] = tiny_scorer.graph
    rough.__dict__.pop("_rough", None)
    if of.startswith("a graph"):
        monkeypatch.setattr(scorer_module, "ROUGHLY", 1e-12)
    else:
        rough.__dict__["_rough"] = Overflowing(tiny_scorer.bundle.detector)
    assert rough.reasons(batch, scores, row, 3) == exactly.reasons(batch, scores, row, 3)


def test_reasons_of_many_rows_are_those_of_each(tiny_scorer: Scorer, scored: tuple[Batch, Scores]) -> None:
    batch, scores = scored
    rows = np.argsort(-scores.evidence)[::7].tolist()
    asked = [Asked(row, place % 5, verify=place % 11 == 0) for place, row in enumerate(rows)]
    together = tiny_scorer.reasons_of(batch, scores, asked)
    assert sum(bool(scores.is_anomaly[row]) for row in rows) > 2
    assert together == [tiny_scorer.reasons(batch, scores, one.row, one.top, verify=one.verify) for one in asked]
