"""A column of plain numbers with which nothing is wrong, read in one go: nearly all columns of nearly all files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.pan import SURELY_NO_CARD
from models.rows import ParsedRows
from models.schema import AmountColumn, NumericColumn, TransactionSchema


def plain_numbers(column: NumericColumn, cells: Sequence[pl.Series], *, converted: bool) -> NDArray[np.float64] | None:
    """The numbers [rows], NaN where one is missing that may be; None where anything has to be looked at more closely.

    What :func:`models.reading.numbers.read_numbers` gives, without asking each question of each column: Polars takes
    longer to be asked than to answer.

    Args:
        converted: whether the currency of a row has a say in its number.
    """
    if converted or not _plain(column):
        return None
    [given] = cells
    if not (given.dtype == pl.String or given.dtype.is_float() or given.dtype.is_integer()):
        return None
    read = given.cast(pl.Float64, strict=False)
    if read.null_count() > given.null_count():
        return None
    values = read.to_numpy()
    low, high = np.fmin.reduce(values, initial=np.inf), np.fmax.reduce(values, initial=-np.inf)
    least, most = -SURELY_NO_CARD, SURELY_NO_CARD
    if column.minimum is not None:
        least = max(least, column.minimum)
    if column.maximum is not None:
        most = min(most, column.maximum)
    if low < least or high > most:
        return None
    return values if column.nullable or not np.isnan(values).any() else None


def plain_fields(schema: TransactionSchema) -> frozenset[str]:
    """Fields that hold plain numbers and nothing else."""
    plain: set[str] = set()
    others: set[str] = set()
    for name, column in schema.columns.items():
        numeric = isinstance(column, NumericColumn) and _plain(column)
        (plain if numeric else others).update(column.fields(name))
    return frozenset(plain - others)


def surely_plain(parsed: ParsedRows) -> bool:
    """Whether rows that were read as numbers would be the same of their text: none is bad, none could be a card's."""
    return bool(parsed.good.all()) and np.fmax.reduce(np.abs(parsed.numeric), axis=None, initial=0.0) <= SURELY_NO_CARD


def _plain(column: NumericColumn) -> bool:
    special = column.derive or column.dated or column.written or column.missing
    return not (special or (isinstance(column, AmountColumn) and (column.debit or column.formed)))
