"""The distance of two places in kilometres: one compiled function for one row and for columns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from models.behaviour.compiled import Floats, Ints, compiled
from models.behaviour.events import packed_place
from models.behaviour.features import kilometres as _great_circle
from models.behaviour.layout import NO_PLACE


@compiled
def _each(first: Ints, second: Ints, out: Floats) -> None:
    for i in range(len(first)):
        if first[i] == NO_PLACE or second[i] == NO_PLACE:
            out[i] = np.nan
        else:
            out[i] = _great_circle(first[i], second[i])


def kilometres(places: Sequence[float]) -> float:
    """Of latitude, longitude, latitude, longitude, in degrees."""
    return float(_of_arrays([np.array([part]) for part in places])[0])


def kilometres_columns(places: Sequence[pl.Series]) -> pl.Series:
    """:func:`kilometres` of columns; null where a coordinate is missing or is none."""
    bounds = (90.0, 180.0, 90.0, 180.0)
    parts = [
        part.set(part.abs() > bound, None).fill_null(float("nan")).to_numpy()
        for part, bound in zip(places, bounds, strict=True)
    ]
    return pl.Series(_of_arrays(parts)).fill_nan(None)


def _of_arrays(parts: Sequence[Floats]) -> Floats:
    first, second = packed_place(parts[0], parts[1]), packed_place(parts[2], parts[3])
    out = np.empty(len(first))
    _each(first, second, out)
    return out
