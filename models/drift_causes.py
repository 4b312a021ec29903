"""What makes the alert rate drift: which feature's shift moves how many alerts, and which have gone missing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from models.reference import SHARES, Reference
from models.rows import Batch
from models.schema import TransactionSchema
from models.scorer import Scorer

#: Rows that are scored again for each feature that has shifted, at most.
MOST_ROWS = 4_000
#: Rows that tell whether a feature is gone.
FEWEST_ROWS = 30
#: How sure one has to be, and by how much the share of missing values has to have risen.
_SURE, _RISEN = NormalDist().inv_cdf(1 - 1e-6), 0.1
#: Equal values that a number may have had at most in training to be called stuck when all are equal now.
_STUCK_BELOW = 0.5


How = Literal["missing", "unknown", "stuck"]


@dataclass(frozen=True, slots=True)
class Cause:
    """A feature that is distributed otherwise than in training.

    Attributes:
        alerts: as a share of the rows, that are there only because of it: gone with its distribution put back.
    """

    feature: str
    alerts: float


@dataclass(frozen=True, slots=True)
class Gone:
    """A feature that says nothing any more.

    Attributes:
        how: ``missing``, ``unknown`` (values that training did not know) or ``stuck`` (one value for all).
        share: of the rows now; ``before``: among the training rows.
    """

    feature: str
    how: How
    share: float
    before: float


def causes(scorer: Scorer, batch: Batch) -> tuple[Cause, ...]:
    """Each feature that has shifted, and the alerts that this alone explains, most first.

    The others are left as they are, so causes need not add up: two features may tell of the same change.
    """
    reference = scorer.manifest.reference
    if reference is None or not len(batch):
        return ()
    batch = batch.take(slice(max(0, len(batch) - MOST_ROWS), None))
    threshold, calibration = scorer.manifest.threshold, scorer.manifest.calibration

    def alert_rate(rows: Batch) -> float:
        return float(threshold.is_anomaly(calibration.to_score(scorer.evidence(rows))).mean())

    now = alert_rate(batch)
    found = [
        Cause(scorer.schema.features[feature], now - alert_rate(reference.put_back(batch, feature)))
        for feature in reference.shifted(batch).tolist()
    ]
    return tuple(sorted(found, key=lambda cause: -abs(cause.alerts)))


def gone(schema: TransactionSchema, reference: Reference | None, batch: Batch) -> tuple[Gone, ...]:
    """Features of recent rows that are missing, unknown or stuck, as they were not in training."""
    rows = len(batch)
    if reference is None or rows < FEWEST_ROWS:
        return ()
    found = []
    for name, column, before, knots in zip(
        schema.numeric, batch.numeric.T, reference.missing, reference.knots, strict=True
    ):
        share = float(np.isnan(column).mean())
        if _risen(share, before, rows):
            found.append(Gone(name, "missing", share, before))
        elif (
            rows >= 2 * FEWEST_ROWS
            and (column == column[0]).all()
            and (usual := _at_once(knots, column[0])) < _STUCK_BELOW
        ):
            found.append(Gone(name, "stuck", 1.0, usual))
    for name, codes, shares in zip(schema.categorical, batch.categorical.T, reference.shares, strict=True):
        share = float((codes == 0).mean())
        if _risen(share, shares[0], rows):
            found.append(Gone(name, "unknown", share, shares[0]))
    return tuple(found)


def _risen(share: float, before: float, rows: int) -> bool:
    """Whether a share is surely higher by a tenth: the lower end of Wilson's interval is."""
    weight = _SURE * _SURE / rows
    reach = _SURE * float(np.sqrt(share * (1 - share) / rows + weight / (4 * rows)))
    return (share + weight / 2 - reach) / (1 + weight) > before + _RISEN


def _at_once(knots: list[float], value: float) -> float:
    """The share of the training rows that may have had this very value, at most."""
    at = np.flatnonzero(np.array(knots) == value)
    if not len(at):
        return 0.0
    return float(SHARES[min(at[-1] + 1, len(SHARES) - 1)] - SHARES[max(at[0] - 1, 0)])
