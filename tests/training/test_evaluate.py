"""Card precision@k: by hand, against the definition, and its ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from models.rows import FRAUD, LEGITIMATE, UNKNOWN
from training.evaluate import card_precision, measure


def test_card_precision_by_hand() -> None:
    card = np.array([0, 0, 1, 2, 0, 1, 3, 3])
    day = np.array([5, 5, 5, 5, 6, 6, 6, 6])
    score = np.array([0.1, 0.9, 0.8, 0.2, 1.0, 0.3, 0.4, 0.2])
    fraud = np.array([1, 0, 0, 1, 1, 1, 0, 0], dtype=bool)
    # Day 5: cards 0 (.9, fraud by its other row) and 1 lead: 1 of 2. Day 6: card 0 was found; 3 and 1 lead: 1 of 2.
    # A perfect order finds cards 0 and 2 on day 5, and card 1 on day 6.
    found = card_precision(score, fraud, card, day, k=2)
    assert found.daily == (0.5, 0.5)
    assert found.mean == 0.5
    assert found.ceiling == pytest.approx((1 + 0.5) / 2)


def by_definition(
    score: NDArray[np.float64], fraud: NDArray[np.bool_], card: NDArray[np.int64], day: NDArray[np.int64], k: int
) -> list[float]:
    found: set[int] = set()
    daily = []
    for today in sorted(set(day.tolist())):
        cards: dict[int, tuple[float, bool]] = {}
        for row in np.flatnonzero(day == today):
            if int(card[row]) not in found:
                best, bad = cards.get(int(card[row]), (-1.0, False))
                cards[int(card[row])] = (max(best, float(score[row])), bad or bool(fraud[row]))
        top = sorted(cards.items(), key=lambda item: (-item[1][0], item[0]))[:k]
        hits = [number for number, (_, bad) in top if bad]
        found.update(hits)
        daily.append(len(hits) / k)
    return daily


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 10_000))
def test_card_precision_follows_the_definition(rows: int, k: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    score, fraud = random.integers(0, 8, rows) / 8, random.random(rows) < 0.3
    card, day = random.integers(0, 10, rows), random.integers(0, 4, rows)
    found = card_precision(score, fraud, card, day, k)
    assert list(found.daily) == pytest.approx(by_definition(score, fraud, card, day, k))
    assert found.ceiling == pytest.approx(np.mean(by_definition(fraud.astype(float), fraud, card, day, k)))


def test_measure_leaves_unknown_labels_out_of_label_metrics() -> None:
    random = np.random.default_rng(0)
    score, label = (
        random.random(500),
        random.choice([FRAUD, LEGITIMATE, UNKNOWN], 500, p=[0.1, 0.7, 0.2]).astype(np.int8),
    )
    metrics = measure("test", score, label, 0.8, labelled=True)
    known = label != UNKNOWN
    assert metrics.roc_auc == pytest.approx(roc_auc_score(label[known], score[known]))
    assert metrics.average_precision == pytest.approx(average_precision_score(label[known], score[known]))
    assert metrics.alert_rate == pytest.approx((score >= 0.8).mean())
    assert metrics.precision == pytest.approx((label[known & (score >= 0.8)] == FRAUD).mean())
    assert metrics.recall == pytest.approx((score[label == FRAUD] >= 0.8).mean())
