"""History held to this machine's clock, as requests are: a transaction of a wrong year must not be anybody's newest.

What a card or merchant did last bounds what is taken of it from then on. One row of the year 2062 would have the
service refuse all its payments until then.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

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
    if schema.timestamp is None or schema.elapsed:
        return 0
    latest = int(((time.time() if now is None else now) + TOLERANCE) * 1e6)
    return len(times) - int(np.searchsorted(times, latest, side="right"))
