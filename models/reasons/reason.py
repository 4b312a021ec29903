"""What is told of a transaction: a reason, and what becomes of the score without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.thresholds import Decision

Direction = Literal["higher", "lower", "different", "missing"]


@dataclass(frozen=True)
class Verified:
    """What becomes of the transaction with what the reason is about put back to what is expected, all else kept.

    Attributes:
        score: scored again.
        drop: by how much the score fell; negative if it rose.
        decision: the decision then.
        flips: whether that is another decision than the transaction's own.
    """

    score: float
    drop: float
    decision: Decision
    flips: bool


@dataclass(frozen=True)
class Reason:
    """One cause's part in one transaction's error: a feature, or the windows of one behaviour word, or a place.

    Attributes:
        feature: its name; of several windows the most telling one. Of a place the names of both coordinates, with a
            slash between them.
        value: as sent: a number, a category, an hour ("04:15") or a weekday; None where missing. Of a place its
            kilometres from the expected one.
        expected: what would be usual beside the transaction's other causes, in the same terms.
        share: of the reconstruction error; all causes together give 1. Negative where correlated causes explain part
            of each other's deviation.
        direction: of the value against the expected one.
        text: one plain sentence, at most 110 characters, without ids and card numbers.
    """

    feature: str
    value: float | str | None
    expected: float | str
    share: float
    direction: Direction
    text: str
    verified: Verified | None = None
