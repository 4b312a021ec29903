"""Detection metrics of scored rows: ranking, and precision, recall and alert rate at the threshold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from models.bundle import Metrics
from models.rows import FRAUD, LEGITIMATE, UNKNOWN


def measure(
    part: str, score: NDArray[np.float64], label: NDArray[np.int8], threshold: float, *, labelled: bool
) -> Metrics:
    """Metrics of one part.

    Args:
        part: its name.
        score: [n], higher = more anomalous.
        label: [n], FRAUD, LEGITIMATE or UNKNOWN; rows of unknown label count for the alert rate only.
        threshold: ``score >= threshold`` is an alert.
        labelled: False where no labels exist at all.
    """
    alert = score >= threshold
    known = label != UNKNOWN
    fraud = label == FRAUD
    legitimate = label == LEGITIMATE
    rows, positives = len(score), int(fraud.sum())
    both = labelled and positives > 0 and bool(legitimate.any())
    caught = int((alert & fraud).sum())
    alerts_known = int((alert & known).sum())
    return Metrics(
        part=part,
        rows=rows,
        fraud=positives if labelled else None,
        prevalence=positives / max(int(known.sum()), 1) if labelled else None,
        roc_auc=float(roc_auc_score(fraud[known], score[known])) if both else None,
        average_precision=float(average_precision_score(fraud[known], score[known])) if both else None,
        threshold=threshold,
        alert_rate=float(alert.mean()) if rows else 0.0,
        alert_rate_legitimate=float(alert[legitimate].mean()) if labelled and legitimate.any() else None,
        precision=caught / alerts_known if both and alerts_known else None,
        recall=caught / positives if both else None,
    )
