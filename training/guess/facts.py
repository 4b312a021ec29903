"""What a sample of a column shows, whatever the column is called."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.pan import CANDIDATE_PATTERN, contains_card_number

_LOOKED_AT = 1_000
_SCIENTIFIC = r"^\s*[1-9](?:[.,][0-9]{1,6})?[eE]\+1[2-8]\s*$"


@dataclass(frozen=True)
class Facts:
    """One column of the sample.

    Attributes:
        name: as the table has it.
        cells: as the reader gives them: text for CSV, typed for Parquet.
    """

    name: str
    cells: pl.Series

    @property
    def other(self) -> bool:
        """Whether it holds neither numbers nor text nor times."""
        kind = self.cells.dtype
        return kind.is_nested() or kind in (pl.Binary, pl.Object, pl.Time, pl.Duration)

    @cached_property
    def present(self) -> pl.Series:
        """The cells that are not empty, as text without spaces around."""
        text = self.cells.drop_nulls().cast(pl.String, strict=False).str.strip_chars()
        return text.filter(text != "")

    @cached_property
    def missing(self) -> int:
        """Cells that are empty."""
        return len(self.cells) - len(self.present)

    @cached_property
    def distinct(self) -> int:
        """Different values among the cells that are not empty."""
        return self.present.n_unique()

    @cached_property
    def unique(self) -> bool:
        """Whether no value stands twice."""
        return self.distinct == len(self.present)

    @cached_property
    def signature(self) -> int:
        """The same for two columns of the same cells, and for hardly any others."""
        return hash((len(self.present), *self.present.hash(seed=0).head(_LOOKED_AT), self.present.hash(seed=1).sum()))

    @cached_property
    def values(self) -> pl.Series:
        """The different values, the most frequent first."""
        counted = self.present.value_counts(sort=True)
        return counted[self.present.name or ""] if len(counted) else self.present

    @cached_property
    def longest(self) -> int:
        """Characters of the longest cell."""
        return int(self.present.str.len_chars().to_numpy().max(initial=0))

    @cached_property
    def numbers(self) -> NDArray[np.float64] | None:
        """The cells that are not empty as numbers; None where one of them is none. The text ``nan`` is missing."""
        found = self.present.cast(pl.Float64, strict=False)
        if found.null_count():
            return None
        array: NDArray[np.float64] = found.to_numpy()
        return array[~np.isnan(array)]

    @cached_property
    def whole(self) -> bool:
        """Whether all cells are whole numbers."""
        return (
            self.numbers is not None and len(self.numbers) > 0 and bool((self.numbers == np.rint(self.numbers)).all())
        )

    @cached_property
    def digits_only(self) -> bool:
        """Whether all cells are written with digits alone."""
        return self.matches(r"^[0-9]+$")

    @cached_property
    def leading_zeros(self) -> bool:
        """Whether a cell of several digits begins with 0, as codes do and numbers do not."""
        return self.digits_only and bool(self.present.str.contains(r"^0[0-9]").any())

    @cached_property
    def rising(self) -> bool:
        """Whether the numbers only rise from row to row."""
        found = self.numbers
        return found is not None and len(found) > 1 and bool((np.diff(found) >= 0).all()) and bool(found[-1] > found[0])

    @cached_property
    def card_number_share(self) -> float:
        """Share of the cells that hold what looks like a card number."""
        some = self.present.head(_LOOKED_AT)
        suspects = some.filter(some.str.contains(CANDIDATE_PATTERN))
        return sum(contains_card_number(cell) for cell in suspects) / max(len(some), 1)

    @cached_property
    def damaged(self) -> bool:
        """Whether a spreadsheet rounded long numbers: ``4.11111E+15``."""
        return self.cells.dtype == pl.String and bool(self.present.head(_LOOKED_AT).str.contains(_SCIENTIFIC).any())

    def matches(self, pattern: str) -> bool:
        """Whether every cell that is not empty has this form (Rust's syntax)."""
        return len(self.present) > 0 and bool(self.present.str.contains(pattern).all())

    def share(self, pattern: str) -> float:
        """Share of the cells that are not empty which have this form."""
        return int(self.present.str.contains(pattern).sum()) / max(len(self.present), 1)
