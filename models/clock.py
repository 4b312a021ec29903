"""History held to this machine's clock, as requests are: a transaction of a wrong year must not be anybody's newest.

What a card or merchant did last bounds what is taken of it from then on. One row of the year 2062 would have the
service refuse all its payments until then.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInput
from models.schema import TransactionSchema

#: Seconds that a row may be ahead; for requests, a setting with this default.
TOLERANCE = 300
#: Why such rows are left out.
AHEAD = "later than this machine's clock"


def ahead(schema: TransactionSchema, times: NDArray[np.int64], now: float | None = None) -> int:
    """How many of these rows are later than now: the last ones.

    Args:
        times: ascending, microseconds.
        now: seconds since 1970; None asks the clock.

    Returns:
        0 where the schema's times are none of the calendar.
    """
    last = latest(schema, now)
    return 0 if last is None else len(times) - int(np.searchsorted(times, last, side="right"))


def latest(schema: TransactionSchema, now: float | None = None) -> int | None:
    """The last moment that is not later than now, microseconds; None where the schema's times are none of the calendar.

    Args:
        now: seconds since 1970; None asks the clock.
    """
    if schema.timestamp is None or schema.elapsed:
        return None
    return int(((time.time() if now is None else now) + TOLERANCE) * 1e6)


def all_ahead(rows: int) -> InvalidInput:
    """What to raise where no row is left."""
    return InvalidInput(f"all {rows:,} rows are {AHEAD}; set the clock, or correct their times")
