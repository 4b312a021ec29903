"""The highest alerts with their reasons, and which features make alerts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rows import FRAUD, LEGITIMATE, Batch
from models.scorer import Scorer
from models.thresholds import DECISIONS
from training.report.bootstrap import Estimate, exact_interval
from training.report.clock import Clock
from training.report.format import money
from training.report.grouping import amounts
from training.report.part import ScoredPart

SHOWN, REASONS, FEATURES = 20, 3, 20
#: Categorical columns beside an alert: what was bought where; more would leave no room for the reasons.
CATEGORIES = 3
#: Alerts whose contributions are averaged, and alerts whose top reason is put back and scored again.
_MOST_ROWS, _MOST_VERIFIED = 5_000, 300
_MOST_CELLS = 5_000_000
LABELS = {FRAUD: "fraud", LEGITIMATE: "legitimate"}


@dataclass(frozen=True)
class ShownReason:
    """A reason's sentence, its share of the error, and the score with what it is about put back to what is usual."""

    text: str
    share: float
    put_back: float


@dataclass(frozen=True)
class Alert:
    """One transaction of high score.

    Attributes:
        when: its time, or None.
        amount: in its currency, or an empty string.
        categories: its categorical values, in the order of :attr:`Alerts.categories`.
        score: in [0, 1).
        decision: approve (below the threshold), review or decline.
        label: ``fraud``, ``legitimate`` or ``not known``.
        scenario: of a fraud, or an empty string.
        reasons: in the scorer's order.
    """

    when: str | None
    amount: str
    categories: tuple[str, ...]
    score: float
    decision: str
    label: str
    scenario: str
    reasons: tuple[ShownReason, ...]


@dataclass(frozen=True)
class FeatureShare:
    """A feature's mean share of the error over alerts."""

    name: str
    share: float


@dataclass(frozen=True)
class Alerts:
    """What alerts look like.

    Attributes:
        categories: the categorical columns that are shown beside each alert.
        highest: at most twenty alerts, highest score first; where there is no alert, the highest scores.
        features: largest mean share first, at most twenty; empty without alerts.
        others, others_share: how many more features there are, and their share together.
        explained: alerts behind ``features``.
        verified: share of alerts whose score falls when what the top reason is about is put back to what is usual.
        tried: alerts behind ``verified``.
    """

    categories: tuple[str, ...]
    highest: tuple[Alert, ...]
    features: tuple[FeatureShare, ...]
    others: int
    others_share: float
    explained: int
    verified: Estimate | None
    tried: int


def look_at_alerts(scorer: Scorer, part: ScoredPart, clock: Clock) -> Alerts:
    """Explain the highest scores, and alerts spread evenly over the scores of all."""
    order = np.argsort(-part.scores.score, kind="stable")
    alerts = order[: int(scorer.manifest.threshold.is_anomaly(part.scores.score).sum())]
    highest = (alerts if len(alerts) else order)[:SHOWN]
    sample = _spread(alerts, max(1, min(_MOST_ROWS, _MOST_CELLS // len(scorer.schema.features))))
    features, others, others_share = _features(scorer, part.batch.take(sample))
    tried = _spread(alerts, _MOST_VERIFIED)
    return Alerts(
        categories=scorer.schema.categorical[:CATEGORIES],
        highest=_highest(scorer, part, clock, highest),
        features=features,
        others=others,
        others_share=others_share,
        explained=len(sample),
        verified=_verified(scorer, part.batch.take(tried)),
        tried=len(tried),
    )


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(np.int64))]


def _highest(scorer: Scorer, part: ScoredPart, clock: Clock, rows: NDArray[np.int64]) -> tuple[Alert, ...]:
    batch = part.batch.take(rows)
    scores = scorer.score(batch, explain=True)
    amount, currency = amounts(scorer.schema, part), scorer.schema.currency
    told = [part.history.text[i].gather(rows).fill_null("").to_list() for i in range(len(scorer.schema.categorical))]
    label = part.history.label[rows]
    scenario = [""] * len(rows)
    if part.history.scenario is not None:
        scenario = [name or "" for name in part.history.scenario.gather(rows).to_list()]
    return tuple(
        Alert(
            when=clock.moment(int(batch.time[row])) if clock.exists else None,
            amount="" if amount is None else money(float(amount[rows[row]]), currency, exact=True),
            categories=tuple(cells[row] or "—" for cells in told[:CATEGORIES]),
            score=float(scores.score[row]),
            decision=DECISIONS[scores.decision[row]],
            label=LABELS.get(int(label[row]), "not known"),
            scenario=scenario[row] if label[row] == FRAUD else "",
            reasons=tuple(
                ShownReason(reason.text, reason.share, reason.verified.score)
                for reason in scorer.reasons(batch, scores, row, REASONS, verify=True)
                if reason.verified
            ),
        )
        for row in range(len(rows))
    )


def _features(scorer: Scorer, batch: Batch) -> tuple[tuple[FeatureShare, ...], int, float]:
    if len(batch) == 0:
        return (), 0, 0.0
    scores = scorer.score(batch)
    mean = (scores.contributions / np.maximum(scores.error, np.finfo(np.float64).tiny)[:, None]).mean(axis=0)
    order = np.argsort(-mean, kind="stable")
    shown = tuple(FeatureShare(scorer.schema.features[i], float(mean[i])) for i in order[:FEATURES])
    return shown, len(mean) - len(shown), float(mean[order[FEATURES:]].sum())


def _verified(scorer: Scorer, batch: Batch) -> Estimate | None:
    """With the exact binomial interval over the alerts tried."""
    if len(batch) == 0:
        return None
    scores = scorer.score(batch, explain=True)
    lower = 0
    for row in range(len(batch)):
        top = scorer.reasons(batch, scores, row, 1, verify=True)[0]
        lower += top.verified is not None and top.verified.drop > 0
    return Estimate(lower / len(batch), *exact_interval(lower, len(batch)))
