"""Transactions as numbers: what parsing gives and what the detector takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

FRAUD, LEGITIMATE, UNKNOWN = 1, 0, -1


@dataclass(frozen=True)
class Batch:
    """Transactions in the form the detector's graph takes.

    Attributes:
        numeric: float64 [n, numeric features], in the user's units, NaN where missing.
        categorical: int64 [n, categorical features], position in the vocabulary, 0 = unknown.
        time: int64 [n], microseconds since 1970 UTC (or since the start, for ``elapsed-s``); 0 without timestamp.
    """

    numeric: NDArray[np.float64]
    categorical: NDArray[np.int64]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Batch:
        """The chosen rows, in the order of ``rows``."""
        return Batch(self.numeric[rows], self.categorical[rows], self.time[rows])

    @staticmethod
    def encoded(
        numeric: NDArray[np.float64],
        text: tuple[pl.Series, ...],
        time: NDArray[np.int64],
        vocabulary: Vocabulary,
    ) -> Batch:
        """Rows whose categories are still text."""
        codes = vocabulary.encode(text) if text else np.empty((len(time), 0), np.int64)
        return Batch(numeric, codes, time)

    @staticmethod
    def concat(parts: Iterable[Batch]) -> Batch:
        """All parts, one below the other."""
        many = list(parts)
        return Batch(
            np.concatenate([part.numeric for part in many]),
            np.concatenate([part.categorical for part in many]),
            np.concatenate([part.time for part in many]),
        )


@dataclass(frozen=True)
class Vocabulary:
    """The values of each categorical feature that training knew; position 0 is everything else.

    Attributes:
        values: per categorical feature, its values; the value at index i has code i + 1. "" stands for missing.
    """

    values: tuple[tuple[str, ...], ...]

    def encode(self, columns: Iterable[pl.Series]) -> NDArray[np.int64]:
        """Codes [n, features] of text columns, in the schema's order."""
        codes = [
            column.fill_null("")
            .replace_strict(
                pl.Series(known, dtype=pl.String),
                pl.Series(range(1, len(known) + 1), dtype=pl.Int64),
                default=0,
                return_dtype=pl.Int64,
            )
            .to_numpy()
            for known, column in zip(self.values, columns, strict=True)
        ]
        return np.column_stack(codes) if codes else np.empty((0, 0), np.int64)


@dataclass(frozen=True)
class RowError:
    """One row that cannot be used. The cause never repeats a value.

    Attributes:
        row: position in the frame it came from, from 0; readers translate it to a line of the file.
        column: the column at fault; empty where the row as a whole is.
        cause: what is wrong and what was expected.
    """

    row: int
    column: str
    cause: str

    def told(self, row_word: str) -> str:
        """The error in words, e.g. ``line 7: amount: not a number``; ``row_word`` says what ``row`` counts."""
        return f"{row_word} {self.row}: {self.column + ': ' if self.column else ''}{self.cause}"


@dataclass(frozen=True)
class ParsedRows:
    """The good rows of a frame, and an error for each of the others.

    Attributes:
        good: bool [rows of the frame].
        numeric: float64 [good rows, numeric features], NaN where missing.
        text: one text column of the good rows per categorical feature.
        time: int64 [good rows], microseconds.
        label: int8 [good rows]: FRAUD, LEGITIMATE or UNKNOWN; None where the schema or the frame has no label.
        errors: in row order.
    """

    good: NDArray[np.bool_]
    numeric: NDArray[np.float64]
    text: tuple[pl.Series, ...]
    time: NDArray[np.int64]
    label: NDArray[np.int8] | None
    errors: tuple[RowError, ...]

    def batch(self, vocabulary: Vocabulary) -> Batch:
        """The good rows as the detector takes them."""
        return Batch.encoded(self.numeric, self.text, self.time, vocabulary)


def at_lines(errors: Iterable[RowError], lines: NDArray[np.int64]) -> list[RowError]:
    """The same errors with ``row`` turned into the line (CSV) or row number (Parquet) of the source."""
    return [replace(error, row=int(lines[error.row])) for error in errors]
