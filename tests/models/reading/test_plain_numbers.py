"""Plain numbers are what a closer look makes of them: a bad cell in the column makes it look closely at every cell."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reading.causes import Causes
from models.reading.numbers import read_numbers
from models.reading.plain_numbers import plain_numbers
from models.schema import AmountColumn, NumericColumn

COLUMNS = (
    NumericColumn(),
    NumericColumn(nullable=True),
    NumericColumn(minimum=-1.5, maximum=1e9, nullable=True),
    AmountColumn(unit="EUR", minimum=0.0),
    NumericColumn(minimum=3e12),
)
_NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(repr),
    st.integers(-(10**13), 10**13).map(str),
    st.sampled_from(["0", "-0.0", "1e3", "4.50", "+7", "1e300", "4111111111111111", "nan", "inf", " 1", "1 ", "", "x"]),
    st.none(),
)


def closely(column: NumericColumn, cells: pl.Series) -> tuple[list[float], list[int]]:
    """The numbers, and which rows have a cause, where a further cell has to be looked at."""
    more = pl.concat([cells, pl.Series(["no number"])])
    causes = Causes(len(more))
    values = read_numbers("x", column, [more], causes, np.zeros(len(more), np.int64))
    assert causes.bad[-1]
    return values.to_list()[:-1], np.flatnonzero(causes.bad[:-1]).tolist()


@pytest.mark.parametrize("column", COLUMNS, ids=range(len(COLUMNS)))
@given(cells=st.lists(_NUMBERS, max_size=6))
def test_text(column: NumericColumn, cells: list[str | None]) -> None:
    text = pl.Series(cells, dtype=pl.String)
    found = plain_numbers(column, [text], converted=False)
    expected, bad = closely(column, text)
    if found is None:
        return
    assert not bad
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("column", COLUMNS[:4], ids=range(4))
def test_most_columns_are_plain(column: NumericColumn) -> None:
    cells = ["0", "12.25", "1e3", *([None] if column.nullable else [])]
    for given_cells in (pl.Series(cells), pl.Series(cells).cast(pl.Float64)):
        found = plain_numbers(column, [given_cells], converted=False)
        assert found is not None
        np.testing.assert_array_equal(found, [0.0, 12.25, 1_000.0, *([np.nan] if column.nullable else [])])
    assert plain_numbers(column, [pl.Series([1, 2])], converted=True) is None


@pytest.mark.parametrize(
    "column",
    [
        NumericColumn(missing=("-1",), nullable=True),
        NumericColumn.model_validate({"kind": "numeric", "decimal": ","}),
        AmountColumn(unit="EUR", scale=2),
        AmountColumn(unit="EUR", absolute=True),
    ],
    ids=["missing", "comma", "cents", "absolute"],
)
def test_what_is_written_otherwise_is_looked_at(column: NumericColumn) -> None:
    assert plain_numbers(column, [pl.Series(["1", "2"])], converted=False) is None
