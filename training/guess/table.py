"""What is known of a table while its columns are being told apart: facts, guesses so far, columns still open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from models.schema import AmountColumn, CategoricalColumn, Column, NumericColumn, TimestampColumn
from training.guess.facts import Facts

Confidence = Literal["sure", "likely", "doubtful"]


@dataclass(frozen=True)
class Guess:
    """What one column of the profile is.

    Attributes:
        name: in the profile.
        column: None where the profile leaves it unnamed.
        reason: what spoke for it.
        confidence: ``doubtful`` where the user should be asked.
        reads: the columns of the table that it is read from.
    """

    name: str
    column: Column | None
    reason: str
    confidence: Confidence = "likely"
    reads: tuple[str, ...] = ()

    @property
    def is_feature(self) -> bool:
        """Whether a model learns from it."""
        return isinstance(self.column, NumericColumn | CategoricalColumn)


@dataclass
class Table:
    """A sample of a table, and what was guessed of it.

    Attributes:
        whole: whether the sample is the table.
        facts: by column.
        open: columns that nothing was guessed of yet, in the table's order.
        guesses: by the name in the profile.
        zone: of local times, where a column says it.
    """

    sample: pl.DataFrame
    whole: bool = True
    facts: dict[str, Facts] = field(init=False)
    open: list[str] = field(init=False)
    guesses: dict[str, Guess] = field(init=False, default_factory=dict)
    zone: str = field(init=False, default="UTC")

    def __post_init__(self) -> None:
        self.facts = {name: Facts(name, self.sample[name]) for name in self.sample.columns}
        self.open = list(self.sample.columns)

    def take(self, guess: Guess, *used: str) -> None:
        """Hold a guess; the columns it speaks for are no longer open."""
        self.guesses[guess.name] = guess
        for name in used or (guess.name,):
            if name in self.open:
                self.open.remove(name)

    def candidates(self, wanted: Callable[[Facts], bool]) -> list[Facts]:
        """Open columns of a kind, in the table's order."""
        return [self.facts[name] for name in self.open if wanted(self.facts[name])]

    def free_name(self, *wanted: str) -> str:
        """The first of some names that no column has, for one that is read from others."""
        taken = {*self.facts, *self.guesses}
        return next(name for name in (*wanted, *(f"{wanted[0]}_{i}" for i in range(2, 99))) if name not in taken)

    def find(self, *kinds: type[Column]) -> list[Guess]:
        """The guesses of some kinds."""
        return [guess for guess in self.guesses.values() if isinstance(guess.column, kinds)]

    def cells(self, guess: Guess) -> list[pl.Series]:
        """What a column of the profile is read from."""
        return [] if guess.column is None else [self.sample[field] for field in guess.column.fields(guess.name)]

    def copied(self, facts: Facts) -> str | None:
        """An earlier guess that is read from a column with the very same cells."""
        for guess in self.guesses.values():
            other = self.facts.get(guess.name)
            same = guess.is_feature and other is not None and other is not facts and facts.distinct > 2
            if same and other is not None and other.missing == facts.missing and other.signature == facts.signature:
                return guess.name
        return None

    @property
    def has_calendar(self) -> bool:
        """Whether payments have a date."""
        return any(isinstance(g.column, TimestampColumn) and not g.column.elapsed for g in self.find(TimestampColumn))

    @property
    def amount_below_zero(self) -> bool:
        """Whether amounts may be below zero."""
        return any(isinstance(g.column, AmountColumn) and (g.column.minimum or 0) < 0 for g in self.guesses.values())

    @property
    def amount(self) -> str | None:
        """The amount's name in the profile."""
        return next((guess.name for guess in self.find(AmountColumn)), None)


def best(candidates: Iterable[Facts], *ranks: Callable[[Facts], bool]) -> Facts | None:
    """The candidate that speaks for itself most: by the first rank that tells them apart, then by place."""
    return min(candidates, key=lambda facts: [not rank(facts) for rank in ranks], default=None)
