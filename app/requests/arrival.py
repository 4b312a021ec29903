"""A transaction that has arrived, encoded once: from JSON, from a table, from the log.

Nothing after it asks the schema what it was made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.store.records import Name
from models.behaviour.events import Event


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """How a transaction is to be answered.

    Attributes:
        reasons: how many.
        verify: whether each reason is tested by scoring again without it.
        state: what the rows of a CSV go on from.
    """

    reasons: int
    verify: bool = False
    state: str = "live"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One validated transaction that waits for its score.

    Attributes:
        numeric: the numeric features that are sent, in the schema's order, NaN where missing.
        categorical: positions in the vocabulary, 0 = unknown.
        time: microseconds, as in :mod:`models.times`; 0 without timestamp.
        events: what it is to each of its entities, in the order of the schema's sections.
        body: as JSON, under the ids that are stored; ``digest`` is of it.
        transaction_id: None where the schema has no id.
        idempotency_digest: of its Idempotency-Key, see :func:`app.requests.idempotency.digest`; None without one.
        names: what it is to be recorded under, at most once.
        caller: who asks; None without API keys.
        arrived_at: microseconds since 1970 UTC; ``arrived``: :func:`time.perf_counter` then.
    """

    numeric: Sequence[float]
    categorical: Sequence[int]
    time: int
    events: Sequence[Event]
    body: str
    digest: bytes
    transaction_id: str | None
    idempotency_digest: bytes | None
    names: tuple[Name, ...]
    options: ScoreOptions
    caller: str | None
    arrived_at: int
    arrived: float
