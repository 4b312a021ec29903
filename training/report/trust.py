"""Whether the threshold keeps its promise: alert rate and score of legitimate rows, over all and through time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.rows import LEGITIMATE
from models.thresholds import Threshold
from training.report.bootstrap import Estimate, exact_interval
from training.report.clock import Clock, Periods
from training.report.curves import thinned
from training.report.part import ScoredPart


@dataclass(frozen=True)
class Stability:
    """Scores of legitimate rows per period.

    Attributes:
        periods: the periods with legitimate rows, and their names.
        rows: [periods].
        rate, low, high: alert rate with its exact binomial interval, [periods].
        quartiles: [periods, 3] of the score; 0.25, 0.5, 0.75 where nothing has changed since training.
    """

    periods: Periods
    rows: NDArray[np.int64]
    rate: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    quartiles: NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """Promise against practice.

    Attributes:
        all_rows: True where there are no labels: then every row is taken for legitimate.
        rows: rows looked at.
        seen: their alert rate.
        verdict: ``kept``, ``above`` or ``below`` the promised interval, by the interval of what was seen.
        distance: Kolmogorov-Smirnov distance of their scores from uniform.
        quantile_expected, quantile_seen: of the score, as a curve.
        rate_promised, rate_seen: 1 - threshold, and the alert rate seen there, as a curve.
        stability: None without timestamps, or for less than three hours.
    """

    all_rows: bool
    rows: int
    seen: Estimate
    verdict: str
    distance: float
    quantile_expected: NDArray[np.float64]
    quantile_seen: NDArray[np.float64]
    rate_promised: NDArray[np.float64]
    rate_seen: NDArray[np.float64]
    stability: Stability | None


def check(
    threshold: Threshold, part: ScoredPart, clock: Clock, seen: Estimate | None, alert_rate: Estimate
) -> Trust | None:
    """Check a part against the promise; None where rows are labelled but none is legitimate.

    Args:
        seen: alert rate of legitimate rows; None where there is no such row.
        alert_rate: alert rate of all rows, used where no row has a label.
    """
    legitimate = part.history.label == LEGITIMATE
    all_rows = not part.history.labelled or not (part.history.label >= 0).any()
    if all_rows:
        seen, legitimate = alert_rate, np.ones(len(part), dtype=bool)
    if seen is None:
        return None
    scores = np.sort(part.scores.score[legitimate])
    rows = len(scores)
    rank = np.arange(1, rows + 1)
    body = thinned(rows)
    # A share of k / n is seen at the k-th largest score.
    top = scores[::-1][body]
    low, high = (seen.value if end is None else end for end in (seen.low, seen.high))
    return Trust(
        all_rows=all_rows,
        rows=rows,
        seen=seen,
        verdict="above" if low > threshold.alert_rate_high else "below" if high < threshold.alert_rate_low else "kept",
        distance=float(np.maximum(np.abs(rank / rows - scores), np.abs((rank - 1) / rows - scores)).max()),
        quantile_expected=(rank[body] - 0.5) / rows,
        quantile_seen=scores[body],
        rate_promised=1 - top,
        rate_seen=(body + 1) / rows,
        stability=_stability(threshold, part, legitimate, clock),
    )


def _stability(threshold: Threshold, part: ScoredPart, legitimate: NDArray[np.bool_], clock: Clock) -> Stability | None:
    periods = clock.periods()
    if periods is None:
        return None
    number = periods.number[legitimate]
    score = part.scores.score[legitimate]
    rows = np.bincount(number, minlength=len(periods.names))
    alerts = np.bincount(number, threshold.is_anomaly(score), minlength=len(periods.names))
    held = np.flatnonzero(rows)
    order = np.argsort(number, kind="stable")
    groups = np.split(score[order], np.cumsum(rows[held])[:-1])
    rows, alerts = rows[held], alerts[held]
    kept = Periods(
        periods.unit,
        np.searchsorted(held, number),
        tuple(periods.names[i] for i in held),
        periods.offset[held],
    )
    low, high = np.array([exact_interval(int(hits), int(trials)) for hits, trials in zip(alerts, rows, strict=True)]).T
    return Stability(
        kept,
        rows,
        alerts / rows,
        low,
        high,
        np.array([np.quantile(group, [0.25, 0.5, 0.75]) for group in groups]),
    )
