"""Transactions with some features put back to their expected values, everything else kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.forms.time_patterns import DAY
from models.rows import Batch
from models.schema import TransactionSchema
from models.times import EPOCH_WEEKDAY


def put_back(
    schema: TransactionSchema, batch: Batch, expected: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Batch:
    """The batch with, in each row, the chosen features at their expected values.

    Args:
        expected: float64 [n, features], as the detector gives it.
        chosen: bool [n, features].
    """
    numbers, categories = len(schema.numeric), len(schema.categorical)
    numeric = np.where(chosen[:, :numbers], expected[:, :numbers], batch.numeric)
    middle = slice(numbers, numbers + categories)
    categorical = np.where(chosen[:, middle], np.rint(expected[:, middle]).astype(np.int64), batch.categorical)
    time = batch.time.copy()
    for cycle, at in zip(schema.cycles, range(numbers + categories, chosen.shape[1]), strict=True):
        rows, wanted = chosen[:, at], expected[chosen[:, at], at]
        if cycle == "hour":
            time[rows] += (wanted / 24 * DAY).astype(np.int64) - time[rows] % DAY
        else:
            time[rows] += (wanted.astype(np.int64) - (time[rows] // DAY + EPOCH_WEEKDAY) % 7) * DAY
    return Batch(numeric, categorical, time)
