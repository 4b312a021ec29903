"""Why a row cannot be used: the words that tables and JSON share, and the first cause of each row of a table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.rows import RowError
from models.schema import CurrencyColumn, LabelColumn, NumericColumn

#: The cause where a cell holds a card number.
CARD_NUMBER = "looks like a card number; send a pseudonymous id instead"
CARD_NUMBER_AFTER_ALL = (
    "is declared with no_card_numbers, and most of its long numbers are card numbers; declare key_hash = true instead"
)
MISSING = "missing value"
NOT_A_NUMBER = "not a number"
OUTSIDE_FLOAT32 = "outside the range of a 32-bit float"
NUL = "holds a NUL character"
NO_PLACE = "not a place: latitudes are within 90 degrees, longitudes within 180"
NO_DATE = "not a date of the profile's format"


class Unusable(ValueError):
    """A value that cannot be used; the message is the cause."""


#: Told every cause of every row: the column, the cause, the rows that have it.
OnCause = Callable[[str, str, NDArray[np.int64]], None]


class Causes:
    """The first cause per row, filled column by column; every cause is told to ``on_cause``."""

    def __init__(self, rows: int, on_cause: OnCause | None = None) -> None:
        self._on_cause = on_cause
        self._first: dict[int, RowError] = {}
        self.bad = np.zeros(rows, dtype=bool)

    def add(self, column: str, bad: pl.Series, cause: str) -> None:
        """Note a cause for the rows that are bad [rows] and have none yet."""
        mask = bad.fill_null(False).to_numpy()
        if not mask.any():
            return
        if self._on_cause is not None:
            self._on_cause(column, cause, np.flatnonzero(mask))
        for row in np.flatnonzero(mask & ~self.bad):
            self._first[int(row)] = RowError(int(row), column, cause)
        self.bad |= mask

    def add_rows(self, column: str, rows: list[int], cause: str) -> None:
        """Note a cause for some rows by their positions."""
        if rows:
            bad = np.zeros(len(self.bad), dtype=bool)
            bad[rows] = True
            self.add(column, pl.Series(bad), cause)

    def errors(self) -> tuple[RowError, ...]:
        """One for each bad row, in order."""
        return tuple(self._first[row] for row in sorted(self._first))


def bounds_text(column: NumericColumn) -> str:
    """The bounds a numeric column declares, for messages."""
    low = "" if column.minimum is None else f"at least {column.minimum:g}"
    high = "" if column.maximum is None else f"at most {column.maximum:g}"
    return " and ".join(part for part in (low, high) if part)


def expected_currency(column: CurrencyColumn) -> str:
    """What a cell of the currency should hold."""
    if not column.rates:
        return f"expected {column.code}, the only currency this profile knows"
    known = [column.code, *column.rates]
    return f"expected one of {', '.join(known[:12])}{', …' if len(known) > 12 else ''}: the profile has no other rate"


def expected_label(column: LabelColumn) -> str:
    """What a cell of the label should hold."""
    known = ", ".join(value for value in (*column.fraud, *column.legitimate, *column.unknown) if value)
    return f"expected one of {known} (the profile's fraud and legitimate), or an empty cell for unknown"
