"""Labels in the user's words, and since when they were known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.reading.causes import Causes, expected_label
from models.reading.texts import as_text
from models.rows import AT_ONCE, FRAUD, LEGITIMATE, UNKNOWN
from models.schema import LabelColumn, LabelTimestampColumn
from models.times import LAST_TIME, column_times, expected_time, joined_times

_OTHERWISE = {"fraud": FRAUD, "legitimate": LEGITIMATE, "unknown": UNKNOWN}


def read_labels(name: str, column: LabelColumn, cells: Sequence[pl.Series], causes: Causes) -> pl.Series:
    """FRAUD, LEGITIMATE or UNKNOWN in each row: fraud where a field says so, else legitimate where one does."""
    parts = [_field(name, column, part, causes) for part in cells]
    if len(parts) == 1:
        return parts[0]
    found = np.stack([part.to_numpy() for part in parts])
    label = np.where((found == LEGITIMATE).any(axis=0), LEGITIMATE, UNKNOWN)
    return pl.Series(np.where((found == FRAUD).any(axis=0), FRAUD, label), dtype=pl.Int8)


def read_label_times(
    name: str, column: LabelTimestampColumn, cells: Sequence[pl.Series], causes: Causes
) -> NDArray[np.int64]:
    """Microseconds since when each row's label was known; AT_ONCE where the cells are empty."""
    texts = [as_text(name, part).fill_null("").str.strip_chars() for part in cells]
    empty = np.logical_or.reduce([(text == "").to_numpy() for text in texts])
    micros = column_times(name, column, joined_times(column, cells)).fill_null(-1).to_numpy()
    causes.add(name, pl.Series(~empty & ((micros < 0) | (micros > LAST_TIME))), f"expected {expected_time(column)}")
    return np.where(empty, AT_ONCE, micros + column.to_end)


def _field(name: str, column: LabelColumn, cells: pl.Series, causes: Causes) -> pl.Series:
    text = as_text(name, cells).fill_null("").str.strip_chars().str.to_lowercase()
    text = text.str.replace(r"^([0-9]+)\.0+$", "$1")
    values = {value.lower(): code for values, code in _meanings(column) for value in values}
    values.setdefault("", UNKNOWN)
    label = text.replace_strict(
        pl.Series(list(values), dtype=pl.String),
        pl.Series(list(values.values()), dtype=pl.Int8),
        default=_OTHERWISE.get(column.otherwise),
        return_dtype=pl.Int8,
    )
    causes.add(name, label.is_null(), expected_label(column))
    return label.fill_null(UNKNOWN)


def _meanings(column: LabelColumn) -> tuple[tuple[tuple[str, ...], int], ...]:
    return (column.fraud, FRAUD), (column.legitimate, LEGITIMATE), (column.unknown, UNKNOWN)
