"""What a user is asked about a guess, and what his answers change."""

from __future__ import annotations

from typing import Protocol

from models.schema import CurrencyColumn, IgnoreColumn, LabelColumn, TimestampColumn
from training.guess.table import Guess, Table

_LEAVE_OUT, _NONE = "leave out", "none"


class Ask(Protocol):
    """Puts questions to the user."""

    def choose(self, question: str, answers: list[str]) -> str:
        """One of the answers; the first by default."""

    def number(self, question: str, default: float) -> float:
        """A number above zero."""


def ask_about(table: Table, ask: Ask) -> None:
    """Let the user decide on every doubtful guess, say what no column tells, and name the label if none was found."""
    for guess in list(table.guesses.values()):
        column = guess.column
        if guess.confidence != "doubtful" or column is None or isinstance(column, IgnoreColumn):
            continue
        if (
            ask.choose(f"{guess.name}: {guess.reason}. Use it as {column.kind}?", [column.kind, _LEAVE_OUT])
            == _LEAVE_OUT
        ):
            table.guesses[guess.name] = Guess(guess.name, IgnoreColumn(), "left out on request", "sure")
        elif isinstance(column, CurrencyColumn) and column.rates:
            rates = {
                code: ask.number(f"{guess.name}: what is one {code.upper()} worth in {column.code.upper()}?", rate)
                for code, rate in column.rates.items()
            }
            told = column.model_copy(update={"rates": rates})
            table.guesses[guess.name] = Guess(guess.name, told, "several currencies; the rates were given", "sure")
        elif isinstance(column, TimestampColumn) and column.year is not None:
            year = ask.number(f"{guess.name}: the times have no year. Which one are they from?", column.year)
            told_year = TimestampColumn.model_validate({**column.model_dump(mode="json"), "year": int(year)})
            reason = "month, day and time without a year, which was given"
            table.guesses[guess.name] = Guess(guess.name, told_year, reason, "sure", guess.reads)
    named = [name for name, facts in table.facts.items() if 2 <= facts.distinct <= 3]
    if named and not table.find(LabelColumn):
        answer = ask.choose("No label was found. Which column says what was fraud (1 = fraud)?", [_NONE, *named])
        if answer != _NONE:
            table.guesses[answer] = Guess(answer, LabelColumn(), "said to be the label", "sure")
