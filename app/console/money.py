"""Fraud in money: what was declined, what somebody looked at, and what was missed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice

from app.console.facts import Facts
from app.decisions.export import pages
from app.store.contract import Store
from app.store.query import Filter
from models.schema import TransactionSchema

#: Payments that are added up at most, the latest.
MOST = 5_000


@dataclass(frozen=True, slots=True)
class Money:
    """Amounts of payments that are known as fraud by now, by the decision that was answered.

    Attributes:
        declined: saved: lists, rules or the model stopped them.
        review: alerted, so that somebody could stop them.
        approve: missed.
        counts: payments of each decision.
        whole: whether all were added up.
    """

    declined: float
    review: float
    approve: float
    counts: Counter[str]
    whole: bool

    @staticmethod
    def of(store: Store, schema: TransactionSchema, since: int) -> Money | None:
        """Of the payments that arrived since a time; None where a payment has no amount."""
        if schema.amount is None:
            return None
        counts = Counter[str]()
        known = (one.decision for page in pages(store, Filter(label="fraud", since=since)) for one in page)
        sums: dict[str, float] = dict.fromkeys(("decline", "review", "approve"), 0.0)
        for decision in islice(known, MOST):
            sums[decision.decision] += Facts.of(decision, schema).value or 0.0
            counts[decision.decision] += 1
        return Money(sums["decline"], sums["review"], sums["approve"], counts, counts.total() < MOST)
