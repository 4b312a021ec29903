"""Drift as the running service would tell it of these rows: alerts a day, what was promised, which feature moves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.drift import ALARM, Promise, watch
from models.drift_causes import causes, gone
from models.forms.time_patterns import DAY
from models.scorer import Scorer
from training.report.part import ScoredPart

#: Causes that are shown, and alerts a day that one has to explain.
_SHOWN, _WORTH = 5, 0.1


@dataclass(frozen=True)
class DriftFound:
    """Whole days of the rows, as if they had been served.

    Attributes:
        days: how many; the last one is left out, as it may not be over.
        alerts, low, high: a day, as seen and as promised for as many transactions.
        above, below: the evidence at the end that there are more, or fewer, than promised.
        alarm: whether either is enough.
        features: (feature, alerts a day that its shift alone explains), most first.
        gone: (feature, how), of those that say nothing in these rows.
    """

    days: int
    alerts: float
    low: float
    high: float
    above: float
    below: float
    alarm: bool
    features: tuple[tuple[str, float], ...]
    gone: tuple[tuple[str, str], ...]


def look(scorer: Scorer, part: ScoredPart) -> DriftFound | None:
    """What :mod:`models.drift` makes of the rows; None without timestamps, or of less than two days."""
    if scorer.schema.timestamp is None:
        return None
    day = part.history.time // DAY
    number = day - day.min()
    days = int(number.max())
    if days < 1:
        return None
    whole = number < days
    alert = scorer.manifest.threshold.is_anomaly(part.scores.score)
    rows = np.bincount(number[whole], minlength=days)
    alerts = np.bincount(number[whole], alert[whole], minlength=days)
    promise = Promise.of(scorer.manifest)
    found = watch(alerts, promise.low * rows, promise.high * rows)
    above, below = float(found.above[-1]), float(found.below[-1])
    each = part.history.each
    a_day = float(rows.mean()) * each
    moved = [(one.feature, one.alerts * a_day) for one in causes(scorer, part.batch)]
    return DriftFound(
        days=days,
        alerts=float(alerts.mean()) * each,
        low=promise.low * a_day,
        high=promise.high * a_day,
        above=above,
        below=below,
        alarm=max(above, below) >= ALARM,
        features=tuple(one for one in moved if abs(one[1]) >= _WORTH)[:_SHOWN],
        gone=tuple((one.feature, one.how) for one in gone(scorer.schema, scorer.manifest.reference, part.batch)),
    )
