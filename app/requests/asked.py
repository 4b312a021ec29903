"""A transaction that waits for its score."""

from __future__ import annotations

from dataclasses import dataclass

from app.requests.bodies import Wanted
from app.requests.strict_object import Row
from app.store.records import Name


@dataclass(frozen=True, slots=True)
class Asked:
    """One validated transaction that waits for its score.

    Attributes:
        row: as the request model gives it.
        want: reasons asked for.
        body: the row as JSON; ``digest`` is of it.
        arrived_at: microseconds since 1970 UTC; ``arrived``: :func:`time.perf_counter` then.
        caller: who asks; None without API keys.
        idempotency_digest: of its Idempotency-Key, see :func:`app.requests.idempotency.digest`; None without one.
    """

    row: Row
    want: Wanted
    transaction_id: str | None
    body: str
    digest: bytes
    arrived_at: int
    arrived: float
    caller: str | None = None
    idempotency_digest: bytes | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        """What it is to be recorded under, at most once."""
        return tuple(name for name in (self.transaction_id, self.idempotency_digest) if name is not None)
