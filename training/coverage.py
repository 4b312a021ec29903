"""Cycles that a history does not cover: of a weekday that was never seen, nothing can be learned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.schema import TransactionSchema
from models.times import EPOCH_WEEKDAY

_DAY = 86_400_000_000


def without_uncovered_cycles(schema: TransactionSchema, time: NDArray[np.int64]) -> TransactionSchema:
    """The schema without the cycles that the training rows do not cover.

    The hour of the day is covered by rows of a whole day, the weekday by rows of all seven days (UTC).

    Args:
        time: int64 [n], microseconds, of the rows that are fitted, in order.
    """
    uncovered = set()
    if "hour" in schema.cycles and time[-1] - time[0] < _DAY:
        uncovered.add("hour")
    if "weekday" in schema.cycles and len(np.unique((time // _DAY + EPOCH_WEEKDAY) % 7)) < 7:
        uncovered.add("weekday")
    if not uncovered or schema.timestamp is None:
        return schema
    column = schema.columns[schema.timestamp]
    kept = tuple(cycle for cycle in schema.cycles if cycle not in uncovered)
    columns = {**schema.columns, schema.timestamp: column.model_copy(update={"cycles": kept})}
    changed = schema.model_copy(update={"columns": columns}).checked()
    return changed.with_keys(schema.key_hasher) if schema.hashed else changed
