"""Detection metrics of scored rows: ranking; precision, recall and alert rate at the threshold; card precision@k."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.manifest import Metrics
from models.rows import FRAUD, LEGITIMATE, UNKNOWN
from training.ranking import rank_metrics


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
    area, precision = rank_metrics(score[known], fraud[known]) if both else (None, None)
    caught = int((alert & fraud).sum())
    alerts_known = int((alert & known).sum())
    return Metrics(
        part=part,
        rows=rows,
        fraud=positives if labelled else None,
        prevalence=positives / max(int(known.sum()), 1) if labelled else None,
        roc_auc=area,
        average_precision=precision,
        threshold=threshold,
        alert_rate=float(alert.mean()) if rows else 0.0,
        alert_rate_legitimate=float(alert[legitimate].mean()) if labelled and legitimate.any() else None,
        precision=caught / alerts_known if both and alerts_known else None,
        recall=caught / positives if both else None,
    )


@dataclass(frozen=True)
class CardPrecision:
    """Card precision@k of consecutive days.

    Attributes:
        k: cards that can be looked into a day.
        daily: [days], compromised cards among the day's k highest, divided by k.
        ceiling: the mean that a perfect ranking would reach; below 1 where a day has fewer than k compromised cards.
    """

    k: int
    daily: tuple[float, ...]
    ceiling: float

    @property
    def mean(self) -> float:
        """Over the days."""
        return float(np.mean(self.daily))


def card_precision(
    score: NDArray[np.float64],
    fraud: NDArray[np.bool_],
    card: NDArray[np.int64],
    day: NDArray[np.int64],
    k: int = 100,
) -> CardPrecision:
    """Card precision@k, averaged over days (Le Borgne et al., *Fraud Detection Handbook*, chapter 4).

    Each day the cards found on earlier days drop out; a card has its largest score and label of the day; the k cards of
    highest score are looked into, and the compromised ones among them are found.

    Args:
        score, fraud, card, day: [n], n > 0; cards are numbered from 0; days with no row do not count.
    """
    daily = _daily_precision(score, fraud, card, day, k)
    ceiling = _daily_precision(fraud.astype(np.float64), fraud, card, day, k)
    return CardPrecision(k, daily, float(np.mean(ceiling)))


def _daily_precision(
    score: NDArray[np.float64],
    fraud: NDArray[np.bool_],
    card: NDArray[np.int64],
    day: NDArray[np.int64],
    k: int,
) -> tuple[float, ...]:
    cards = int(card.max()) + 1
    found = np.zeros(cards, dtype=bool)
    order = np.argsort(day, kind="stable")
    daily = []
    for rows in np.split(order, np.flatnonzero(np.diff(day[order])) + 1):
        left = rows[~found[card[rows]]]
        best = np.full(cards, -np.inf)
        np.maximum.at(best, card[left], score[left])
        compromised = np.zeros(cards, dtype=bool)
        compromised[card[left[fraud[left]]]] = True
        present = np.unique(card[left])
        looked_into = present[np.argsort(-best[present], kind="stable")[:k]]
        hits = looked_into[compromised[looked_into]]
        found[hits] = True
        daily.append(len(hits) / k)
    return tuple(daily)
