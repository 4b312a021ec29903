"""Transactions as numbers: what parsing gives and what the detector takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

FRAUD, LEGITIMATE, UNKNOWN = 1, 0, -1
#: Since when a label is known of which nobody says when: the label delay alone tells.
AT_ONCE = -(2**63)


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

    def with_behaviour(self, features: NDArray[np.float64]) -> Batch:
        """The same rows with their behaviour features [n, b] behind the numeric ones that were sent."""
        return Batch(np.hstack([self.numeric, features]), self.categorical, self.time)

    def to_bytes(self, row: int) -> bytes:
        """One row, little-endian: numeric, then categorical, then time, eight bytes each."""
        numeric, rest = self.numeric[row], np.append(self.categorical[row], self.time[row])
        return bytes(numeric.astype("<f8").tobytes() + rest.astype("<i8").tobytes())

    @staticmethod
    def from_bytes(data: bytes, numeric: int) -> Batch:
        """The row that :meth:`to_bytes` wrote, with so many numeric features."""
        rest = np.frombuffer(data, "<i8", offset=8 * numeric).astype(np.int64)
        return Batch(np.frombuffer(data, "<f8", numeric).astype(np.float64)[None], rest[None, :-1], rest[-1:])

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
        entity: one text column of the good rows per entity column of the schema, by name.
        time: int64 [good rows], microseconds.
        label: int8 [good rows]: FRAUD, LEGITIMATE or UNKNOWN; None where the schema or the frame has no label.
        known: int64 [good rows], microseconds since when the label was known, or AT_ONCE; None where nothing says it.
        errors: in row order.
        id: the transaction ids of the good rows, one text each; None where the schema has none.
    """

    good: NDArray[np.bool_]
    numeric: NDArray[np.float64]
    text: tuple[pl.Series, ...]
    entity: dict[str, pl.Series]
    time: NDArray[np.int64]
    label: NDArray[np.int8] | None
    errors: tuple[RowError, ...]
    id: pl.Series | None = None
    known: NDArray[np.int64] | None = None

    @property
    def fraud(self) -> NDArray[np.bool_] | None:
        """Whether each good row is labelled fraud; None where there are no labels."""
        return None if self.label is None else self.label == FRAUD

    def batch(self, vocabulary: Vocabulary) -> Batch:
        """The good rows as the detector takes them, without behaviour features."""
        return Batch.encoded(self.numeric, self.text, self.time, vocabulary)

    def take(self, rows: NDArray[np.int64]) -> ParsedRows:
        """The chosen good rows, in the order of ``rows``; the frame's ``good`` and ``errors`` stay as they are."""
        return replace(
            self,
            numeric=self.numeric[rows],
            text=tuple(cells.gather(rows) for cells in self.text),
            entity={name: cells.gather(rows) for name, cells in self.entity.items()},
            time=self.time[rows],
            label=None if self.label is None else self.label[rows],
            id=None if self.id is None else self.id.gather(rows),
            known=None if self.known is None else self.known[rows],
        )

    def in_time_order(self) -> ParsedRows:
        """The same rows by time, those of equal time in the order they have."""
        order = np.argsort(self.time, kind="stable")
        return self if np.array_equal(order, np.arange(len(order))) else self.take(order)

    @staticmethod
    def concat(parts: Sequence[ParsedRows]) -> ParsedRows:
        """The good rows of all parts, one below the other, as rows of one frame."""
        first = parts[0]
        labels = [part.label for part in parts if part.label is not None]
        ids = [part.id for part in parts if part.id is not None]
        known = [part.known for part in parts if part.known is not None]
        rows = sum(len(part.time) for part in parts)
        return ParsedRows(
            good=np.ones(rows, bool),
            numeric=np.concatenate([part.numeric for part in parts]),
            text=tuple(pl.concat([part.text[i] for part in parts]) for i in range(len(first.text))),
            entity={name: pl.concat([part.entity[name] for part in parts]) for name in first.entity},
            time=np.concatenate([part.time for part in parts]),
            label=np.concatenate(labels) if len(labels) == len(parts) else None,
            errors=(),
            id=pl.concat(ids) if len(ids) == len(parts) else None,
            known=np.concatenate(known) if len(known) == len(parts) else None,
        )

    def refuse(self, rows: NDArray[np.bool_], column: str, cause: str) -> ParsedRows:
        """The same rows but for some good ones [good rows] that become errors."""
        where = np.flatnonzero(self.good)[rows]
        good = self.good.copy()
        good[where] = False
        errors = sorted((*self.errors, *(RowError(int(row), column, cause) for row in where)), key=lambda e: e.row)
        return replace(self.take(np.flatnonzero(~rows)), good=good, errors=tuple(errors))


def at_lines(errors: Iterable[RowError], lines: NDArray[np.int64]) -> list[RowError]:
    """The same errors with ``row`` turned into the line (CSV) or row number (Parquet) of the source."""
    return [replace(error, row=int(lines[error.row])) for error in errors]
