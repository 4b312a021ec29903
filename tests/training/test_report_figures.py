"""The report's figures: equal to scikit-learn and NumPy on the raw arrays, with intervals that cover."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_score, recall_score, roc_auc_score

from models.rows import FRAUD, LEGITIMATE, Batch
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer
from training.read import read_history
from training.report import ScoredPart, format, headline
from training.report.bootstrap import Estimate
from training.report.clock import Clock, recorded
from training.report.cost import CostCurve, CostTerms
from training.report.curves import Curve, thinned
from training.report.detection import detect
from training.report.drift import look as look_for_drift
from training.report.trust import check

DAY = 86_400_000_000


@pytest.fixture(scope="module")
def tiny_part(tiny_scorer: Scorer, tiny_csv: Path) -> ScoredPart:
    """All simulated payments, scored."""
    history = read_history(tiny_scorer.schema, [tiny_csv])
    return ScoredPart.of(
        tiny_scorer, Batch(history.numeric, tiny_scorer.vocabulary.encode(history.text), history.time), history
    )


def test_every_figure_equals_the_raw_arrays(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    schema, threshold = tiny_scorer.schema, tiny_scorer.manifest.threshold
    clock = Clock(schema, tiny_part.history.time)
    terms = CostTerms.of(schema, threshold)
    assert terms is not None
    found = detect(schema, threshold, terms, tiny_part, clock)
    fraud = tiny_part.history.label == FRAUD
    alert = tiny_part.scores.score >= threshold.score
    days = np.ptp(tiny_part.history.time) / DAY
    amount = tiny_part.history.numeric[:, schema.numeric.index("amount")]
    expected: list[tuple[Estimate | None, float]] = [
        (found.recall, recall_score(fraud, alert)),
        (found.precision, precision_score(fraud, alert)),
        (found.prevalence, fraud.mean()),
        (found.alert_rate, alert.mean()),
        (found.legitimate_rate, alert[~fraud].mean()),
        (found.volume, alert.sum() / days),
        (found.roc_auc, roc_auc_score(fraud, tiny_part.scores.score)),
        (found.average_precision, average_precision_score(fraud, tiny_part.scores.score)),
        (found.amount_share, amount[fraud & alert].sum() / amount[fraud].sum()),
        (found.cost, (5 * alert.sum() + amount[fraud & ~alert].sum()) / days),
    ]
    for estimate, value in expected:
        assert estimate is not None and estimate.low is not None and estimate.high is not None
        assert estimate.value == pytest.approx(value)
        assert estimate.low <= value <= estimate.high
    names = tiny_part.history.scenario
    assert names is not None
    for scenario in found.scenarios:
        rows = (names.fill_null("") == scenario.name).to_numpy()
        assert (scenario.fraud, scenario.caught) == (rows.sum(), alert[rows].sum())
        assert scenario.recall.value == pytest.approx(alert[rows].mean())
    assert sum(scenario.fraud for scenario in found.scenarios) == fraud.sum()
    sentence = headline.sentence(found, threshold.score, "the test period")
    assert sentence == (
        f"At the threshold {format.score(threshold.score)}, {(fraud & alert).sum()} of {fraud.sum()} frauds "
        f"in the test period were alerted, with {format.figure(alert.sum() / days)} alerts a day; "
        f"one in {1 / precision_score(fraud, alert):,.1f} alerts is fraud."
    )


def test_alternatives_have_about_so_many_alerts(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    threshold = tiny_scorer.manifest.threshold
    found = detect(tiny_scorer.schema, threshold, None, tiny_part, Clock(tiny_scorer.schema, tiny_part.history.time))
    assert found.cost is None
    volumes = [other.volume.value / found.volume.value for other in found.alternatives]
    assert volumes == pytest.approx([0.25, 0.5, 2, 4], rel=0.1)
    for other in found.alternatives:
        assert other.recall is not None
        assert other.recall.value == pytest.approx(
            (tiny_part.scores.score[tiny_part.history.label == FRAUD] >= other.threshold).mean()
        )


def test_the_curve_counts_what_a_threshold_alerts() -> None:
    random = np.random.default_rng(1)
    score = random.integers(0, 3_000, 5_000) / 3_000
    fraud = random.random(5_000) < 0.1
    amount = random.random(5_000)
    curve = Curve.of(score, fraud, ~fraud, amount)
    assert len(curve.threshold) <= 400
    assert curve.alerts[-1] == 5_000
    for position in range(0, len(curve.threshold), 17):
        above = score >= curve.threshold[position]
        assert curve.alerts[position] == above.sum()
        assert curve.caught[position] == (above & fraud).sum()
        assert curve.false[position] == (above & ~fraud).sum()
        assert curve.saved[position] == pytest.approx(amount[above & fraud].sum())
    costs = CostCurve.of(CostTerms(2.0, None, assumed=False), curve, int(fraud.sum()), float(amount[fraud].sum()), 10.0)
    above = score >= curve.threshold[5]
    assert costs.reviews[5] == pytest.approx(2 * above.sum() / 10)
    assert costs.missed[5] == pytest.approx(amount[fraud & ~above].sum() / 10)
    assert costs.nothing == pytest.approx(amount[fraud].sum() / 10)


@given(st.integers(1, 3_000_000))
def test_thinning_keeps_both_ends(entries: int) -> None:
    kept = thinned(entries)
    assert kept[0] == 0 and kept[-1] == entries - 1
    assert len(kept) <= 400 and (np.diff(kept) > 0).all()


def test_the_promise_is_judged(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    threshold = tiny_scorer.manifest.threshold
    clock = Clock(tiny_scorer.schema, tiny_part.history.time)
    legitimate = tiny_part.scores.score[tiny_part.history.label == LEGITIMATE]
    for seen, verdict in ((0.9, "above"), (threshold.alert_rate, "kept"), (1e-9, "below")):
        trust = check(threshold, tiny_part, clock, Estimate(seen, seen, seen), Estimate(seen))
        assert trust is not None and trust.verdict == verdict
    assert trust is not None
    assert trust.distance == pytest.approx(
        max(abs((legitimate <= s).mean() - s) for s in legitimate), abs=1.5 / len(legitimate)
    )
    assert trust.stability is not None
    periods = trust.stability.periods
    assert periods.unit == "day"
    assert trust.stability.rows.sum() == len(legitimate)
    assert (trust.stability.low <= trust.stability.rate).all() and (trust.stability.rate <= trust.stability.high).all()
    assert np.array_equal(np.bincount(periods.number), trust.stability.rows)


@pytest.mark.parametrize(
    ("days", "unit"), [(0.01, None), (0.1, None), (0.5, "hour"), (3.5, "day"), (27, "day"), (60, "week")]
)
def test_periods_suit_the_span(payments: TransactionSchema, days: float, unit: str | None) -> None:
    start = 1_767_225_600_000_000  # 2026-01-01, a Thursday
    clock = Clock(payments, np.linspace(start, start + days * DAY, 500).astype(np.int64))
    periods = clock.periods()
    assert (periods.unit if periods else None) == unit
    if periods and unit == "week":
        assert periods.names[:2] == ("2025-12-29", "2026-01-05")


def test_times_in_words(payments: TransactionSchema) -> None:
    assert Clock(payments, np.array([0])).moment(1_767_225_600_000_000) == "Thu 2026-01-01 00:00"
    elapsed = Clock(load_schema("ulb"), np.array([0, DAY]))
    assert elapsed.moment(DAY + 3_660_000_000) == "day 2, 01:01"
    assert recorded("90060 s") == "day 2, 01:01"
    assert recorded("2026-01-01T00:00:00+01:00") == "Wed 2025-12-31 23:00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1, "100"), (0.9999, ">99.9"), (0.5364, "53.6"), (0.0052, "0.520"), (0.0169, "1.69"), (1e-7, "<0.001")],
)
def test_percent(value: float, shown: str) -> None:
    assert format.percent(value) == f"{shown}\u00a0%"


def test_scores_never_round_to_one() -> None:
    assert format.score(0.998) == "0.998"
    assert format.score(0.9936882) == "0.9937"
    assert format.score(np.nextafter(1, 0)) == ">0.99999999"
    assert format.score(0.0) == "0"


def test_text_from_data_holds_no_card_number() -> None:
    assert format.plain("card 4111 1111 1111 1111 seen") == format.WITHHELD
    assert format.plain("a\nb\x00c") == "a b c"
    assert len(format.plain("x" * 500)) == 80


@pytest.fixture
def payments() -> TransactionSchema:
    return load_schema("payments")


def test_drift_is_told_as_the_service_would(tiny_scorer: Scorer, tiny_part: ScoredPart) -> None:
    usual = look_for_drift(tiny_scorer, tiny_part)
    day = tiny_part.history.time // DAY
    whole = day < day.max()
    assert usual is not None and usual.days == day.max() - day.min()
    assert usual.alerts == pytest.approx(
        tiny_scorer.manifest.threshold.is_anomaly(tiny_part.scores.score[whole]).sum() / usual.days
    )
    assert not usual.alarm and usual.gone == ()
    numeric = tiny_part.batch.numeric.copy()
    numeric[:, tiny_scorer.schema.numeric.index("amount")] *= 40
    numeric[:, tiny_scorer.schema.numeric.index("account_age_days")] = np.nan
    batch = dataclasses.replace(tiny_part.batch, numeric=numeric)
    shifted = look_for_drift(tiny_scorer, ScoredPart.of(tiny_scorer, batch, tiny_part.history))
    assert shifted is not None and shifted.alerts > 2 * shifted.high and shifted.above > shifted.below
    assert shifted.features[0][0] == "amount" and shifted.features[0][1] > usual.alerts
    assert shifted.gone == (("account_age_days", "missing"),)
    first = tiny_part.history.take(day == day.min())
    assert (
        look_for_drift(tiny_scorer, ScoredPart.of(tiny_scorer, tiny_part.batch.take(day == day.min()), first)) is None
    )
