"""Drift in the team's currency: alerts a day, what was promised, and which feature makes the difference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from app.drift.days import Days
from models.drift import ALARM, watch
from models.drift_causes import How, causes, gone
from models.scorer import Scorer

#: Whole days that a mean is of, and causes that are told.
RECENT, MOST_CAUSES = 7, 10
#: Alerts a day, at least, that a cause has to explain to be named in the sentence.
_WORTH_NAMING = 1.0


@dataclass(slots=True)
class FeatureDrift:
    """A feature that is distributed otherwise than in training."""

    feature: str
    alerts_per_day: Annotated[
        float, Field(description="Alerts a day that this alone explains: gone with its distribution put back")
    ]


@dataclass(slots=True)
class FeatureGone:
    """A feature that says nothing any more, in the decisions of the last hour."""

    feature: str
    how: Annotated[
        How,
        Field(description="missing; unknown: values that training did not know; stuck: one value for all"),
    ]
    share: Annotated[float, Field(description="Of the decisions now")]
    before: Annotated[float, Field(description="Of the training rows")]


@dataclass(slots=True, kw_only=True)
class DriftReply:
    """Whether the active version still raises as many alerts as it promised."""

    model_version: str
    text: Annotated[str, Field(description="All of it in a sentence or two")]
    alarm: Annotated[
        Literal["above", "below"] | None,
        Field(description="More or fewer alerts than promised; without drift, once in ten years or more rarely"),
    ]
    days: Annotated[
        int,
        Field(description="Whole days that it served, or a version apart from it in its threshold alone, at most 120"),
    ]
    transactions_per_day: Annotated[float, Field(description="Of the last seven whole days, as all that follows")]
    alerts_per_day: float
    promised_low: Annotated[
        float,
        Field(description="Alerts a day that were promised for as many transactions, by the thresholds of those days"),
    ]
    promised_high: float
    evidence_above: Annotated[float, Field(description="That there are more than promised; 3,650 is an alarm")]
    evidence_below: Annotated[float, Field(description="That there are fewer; 3,650 is an alarm")]
    features: Annotated[list[FeatureDrift], Field(description="Most alerts first; they need not add up")]
    gone: list[FeatureGone]


def drift_reply(scorer: Scorer, days: Days, *, explain: bool = True) -> DriftReply:
    """What the counts say.

    Args:
        scorer: of the version that serves; ``days``: of it and of those like it.
        explain: whether to ask which features make the difference, which scores thousands of rows again.
    """
    whole = days.whole()
    rows = np.array([days.rows[day] for day in whole], dtype=np.float64)
    alerts = np.array([days.alerts[day] for day in whole], dtype=np.float64)
    low, high = (np.array([promised[day] for day in whole], dtype=np.float64) for promised in (days.low, days.high))
    found = watch(alerts, low, high)
    above, below = (float(series[-1]) if len(series) else 0.0 for series in (found.above, found.below))

    def a_day_of(counted: NDArray[np.float64]) -> float:
        return float(counted[-RECENT:].mean()) if whole else 0.0

    a_day = a_day_of(rows)
    reply = DriftReply(
        model_version=scorer.manifest.version,
        text="",
        alarm="above" if above >= ALARM else "below" if below >= ALARM else None,
        days=len(whole),
        transactions_per_day=a_day,
        alerts_per_day=a_day_of(alerts),
        promised_low=a_day_of(low),
        promised_high=a_day_of(high),
        evidence_above=above,
        evidence_below=below,
        features=[FeatureDrift(cause.feature, cause.alerts * a_day) for cause in causes(scorer, days.batch())][
            :MOST_CAUSES
        ]
        if explain
        else [],
        gone=[
            FeatureGone(one.feature, one.how, one.share, one.before)
            for one in gone(scorer.schema, scorer.manifest.reference, days.last_hour())
        ],
    )
    reply.text = _text(reply)
    return reply


def _text(reply: DriftReply) -> str:
    if not reply.days:
        told = "No whole day of decisions by this version yet."
    else:
        told = (
            f"{_count(reply.alerts_per_day)} alerts a day, promised {_count(reply.promised_low)}–"
            f"{_count(reply.promised_high)}"
        )
        wrong = reply.features[0] if reply.features else None
        if wrong is not None and abs(wrong.alerts_per_day) >= _WORTH_NAMING:
            told += f"; {wrong.feature} alone would explain {wrong.alerts_per_day:+.0f}"
        told += "."
        if reply.alarm is not None:
            told += f" Alarm: {'more' if reply.alarm == 'above' else 'fewer'} alerts than promised, day after day."
    for one in reply.gone:
        told += f" {one.feature} is {one.how} in {one.share:.0%} of the last hour, {one.before:.0%} in training."
    return told


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
