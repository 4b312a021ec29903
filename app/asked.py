"""A transaction that waits for its score."""

from __future__ import annotations

from dataclasses import dataclass

from app.bodies import Wanted
from app.strict_object import Row


@dataclass(frozen=True, slots=True)
class Asked:
    """One validated transaction that waits for its score.

    Attributes:
        row: as the request model gives it.
        want: reasons asked for.
        body: the row as JSON; ``digest`` is of it.
        arrived_at: microseconds since 1970 UTC; ``arrived``: :func:`time.perf_counter` then.
    """

    row: Row
    want: Wanted
    transaction_id: str | None
    body: str
    digest: bytes
    arrived_at: int
    arrived: float
    caller: str | None = None
