"""Two versions compared: the same rows, the same alerts, and every figure recounted by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from models.challenge import fresh_from
from models.errors import InvalidInput
from models.rows import FRAUD, UNKNOWN
from models.scorer import Scorer
from tests.training.test_report import Page
from training.read import History
from training.report.bootstrap import Estimate
from training.retrain.compare import Comparison, compare
from training.retrain.gate import Verdict, judge
from training.retrain.page import as_json, as_page
from training.retrain.rows import Gathered


@pytest.fixture(scope="module")
def found(tiny_scorer: Scorer, rival: Scorer, tiny_history: History) -> Comparison:
    return compare(tiny_scorer, rival, tiny_history, tiny_history)


def test_every_figure_is_that_of_the_rows_that_neither_has_seen(
    found: Comparison, tiny_scorer: Scorer, rival: Scorer, tiny_history: History
) -> None:
    fresh = tiny_history.take(tiny_history.time >= fresh_from(tiny_scorer.manifest, rival.manifest))
    old, new = (scorer.score(fresh.batch(scorer.vocabulary)).score for scorer in (tiny_scorer, rival))
    alert = old >= tiny_scorer.manifest.threshold.score
    assert found.new.threshold is not None
    other = new >= found.new.threshold
    assert 0 < found.rows == len(fresh) < len(tiny_history) / 2
    assert found.alerts == alert.sum() == other.sum() > 0
    assert found.decisions == (
        (int((~alert & ~other).sum()), int((~alert & other).sum()), 0),
        (int((alert & ~other).sum()), int((alert & other).sum()), 0),
        (0, 0, 0),
    )
    fraud = fresh.label == FRAUD
    assert (found.fraud, found.old.fraud, found.new.fraud) == (
        fraud.sum(),
        (fraud & alert).sum(),
        (fraud & other).sum(),
    )
    assert found.fraud_found.value == (fraud & other & ~alert).sum()
    assert found.fraud_lost.value == (fraud & alert & ~other).sum()
    assert found.alerts_gained.value * found.days == pytest.approx((other & ~alert).sum())
    assert found.alerts_lost.value * found.days == pytest.approx((alert & ~other).sum())
    assert found.changes == (alert != other).sum() == len(found.changed) > 0
    assert all(one.reasons and one.old != one.new for one in found.changed)
    labels = [one.label for one in found.changed]
    assert labels == sorted(labels)  # fraud first


def test_a_version_beside_itself_changes_nothing(tiny_scorer: Scorer, tiny_history: History) -> None:
    found = compare(tiny_scorer, tiny_scorer, tiny_history, tiny_history)
    assert (found.changes, found.won, found.lost) == (0, 0, 0) and found.evidence == pytest.approx(1)
    assert found.fraud_found.value == 0 and (found.fraud_found.high or 0) > 0  # chance may have hidden some
    verdict = judge(found)
    assert not verdict.passed and "none on which the two disagree" in verdict.why


def test_unlabelled_and_disputed_rows_count_for_neither(
    tiny_scorer: Scorer, rival: Scorer, tiny_history: History, found: Comparison
) -> None:
    disputed = tiny_history.label == FRAUD
    unsure = replace(tiny_history, label=np.full_like(tiny_history.label, UNKNOWN), disputed=disputed)
    again = compare(tiny_scorer, rival, unsure, unsure)
    assert (again.fraud, again.legitimate, again.disputed) == (0, 0, found.fraud)
    assert again.never_looked_at == again.rows - again.disputed
    assert not judge(again).passed and "no labelled fraud" in judge(again).why


def test_without_fresh_rows_there_is_nothing_to_compare(
    tiny_scorer: Scorer, rival: Scorer, tiny_history: History
) -> None:
    early = tiny_history.take(slice(0, 100))
    with pytest.raises(InvalidInput, match="nothing to compare them on yet"):
        compare(tiny_scorer, rival, early, early)


@pytest.mark.parametrize(
    ("won", "lost", "passed", "words"),
    [
        (9, 0, True, "evidence for the challenger is 87; 20 is needed"),
        (6, 0, False, "compare them again when more labels are in"),
        (0, 9, False, "The active version is the better one"),
        (4, 3, False, "Neither is shown to be better"),
    ],
)
def test_the_gate_says_in_words_what_it_decides(
    found: Comparison, won: int, lost: int, passed: bool, words: str
) -> None:
    from models.challenge import evidence

    verdict = judge(replace(found, fraud=40, won=won, lost=lost, evidence=float(evidence(won, lost))))
    assert verdict.passed is passed and words in verdict.why


def test_page_and_json_tell_all_of_it_and_load_nothing(found: Comparison, tiny_history: History) -> None:
    gathered = Gathered(tiny_history, 1_000, 500, {"in a file and in the log, counted once": 12})
    odd = replace(found.changed[0], transaction_id="<script>alert(1)</script>", when="", reasons=("a <b> reason",))
    shown = replace(found, changed=(odd, *found.changed[1:]), fraud_found=Estimate(3.0, 1.0, 6.0))
    verdict = Verdict(False, "Why & how.")
    page = Page(as_page(shown, verdict, gathered))
    assert page.loads == []
    assert "<script>alert(1)</script>" in page.text and "Why & how." in page.text
    assert found.old.version in page.text and "interval 1 to 6" in page.text
    assert as_page(shown, verdict, gathered) == as_page(shown, verdict, gathered)
    told = json.loads(as_json(found, verdict, gathered))
    assert told["verdict"] == {"passed": False, "why": "Why & how."}
    assert told["comparison"]["changes"] == found.changes
    assert told["rows"]["from_files"] == 1_000
