"""What becomes of transactions: what they are told, and what is to be recorded of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.refusals import Refusal
from app.replies import RuledReply, ScoreReply
from app.store.records import Decision
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State


@dataclass(frozen=True, slots=True)
class Answer:
    """What a transaction is told.

    Attributes:
        content: the reply as JSON, byte for byte as it is recorded.
        reply: the same; None where it was given before, and the transaction is recorded already.
    """

    content: bytes
    reply: ScoreReply | None = None


def rules_of(answers: Iterable[Answer | Refusal]) -> Counter[str]:
    """How often each list and rule had a say in what was recorded now."""
    replies = (answer.reply for answer in answers if isinstance(answer, Answer))
    return Counter(name for reply in replies if isinstance(reply, RuledReply) for name in reply.rules)


@dataclass(frozen=True, slots=True)
class Featured:
    """The behaviour features of one transaction.

    Attributes:
        values: float64 [behaviour features].
        approximate: whether they are near, not exact.
    """

    values: NDArray[np.float64]
    approximate: bool


@dataclass(slots=True)
class Decided:
    """What became of some transactions.

    Attributes:
        answers: one for each, in their order.
        decisions: what is to be recorded.
        states: those that have moved on, copies; ``first_seq``: the first event that moved each.
        featured, scored: readings of :func:`time.perf_counter` once features and replies were there.
    """

    answers: list[Answer | Refusal]
    decisions: list[Decision] = field(default_factory=list)
    states: dict[EntityKey, State] = field(default_factory=dict)
    first_seq: dict[EntityKey, int] = field(default_factory=dict)
    featured: float = 0.0
    scored: float = 0.0
