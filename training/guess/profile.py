"""From a table to a guessed profile: its columns told apart one role after the other, written down with reasons."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.errors import InvalidInput
from models.parsing import parse_rows, refuse_card_numbers_as_names, shown_names
from models.schema import FileForm, IgnoreColumn, LabelColumn, LabelTimestampColumn, TransactionSchema, parse_schema
from models.tables import TableReader
from training.guess.amounts import find_amount
from training.guess.entities import find_entities, sections
from training.guess.features import find_the_rest, leave_out_unusable, without_leaks
from training.guess.file_form import find_file_form
from training.guess.labels import find_label
from training.guess.table import Guess, Table
from training.guess.times import days_until_known, find_label_time, find_time

_SAMPLE_ROWS = 50_000
_LABEL_DELAY = "7d"
_DAY = 86_400_000_000
_LEAVE_OUT, _NONE = "leave out", "none"
#: Asked of a user: a question and the answers to choose from, the first by default.
Ask = Callable[[str, list[str]], str]


@dataclass(frozen=True)
class GuessedProfile:
    """A schema and how it was come by.

    Attributes:
        schema: valid as it stands; the user should read it before relying on it.
        guesses: every column of the profile, and those of the table that it does not name, in the table's order.
        warnings: what matters most, most important first.
    """

    schema: TransactionSchema
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]

    @property
    def left_out(self) -> tuple[Guess, ...]:
        """Columns that are not used; they pass through scoring untouched."""
        return tuple(guess for guess in self.guesses if guess.column is None or isinstance(guess.column, IgnoreColumn))

    def to_toml(self) -> str:
        """The profile, each column under a comment with how sure the guess is and what spoke for it."""
        told = {guess.name: f"{guess.confidence}: {guess.reason}" for guess in self.guesses}
        warnings = "".join(f"# {warning}\n" for warning in self.warnings)
        unnamed = "".join(f"# {g.name!r} is left out: {g.reason}\n" for g in self.guesses if g.column is None)
        head, columns = self.schema.to_toml().split("[columns]\n")
        lines = zip(self.schema.columns, columns.splitlines(), strict=True)
        return f"{warnings}{head}[columns]\n" + "".join(f"# {told[name]}\n{line}\n" for name, line in lines) + unnamed


def guess_profile(path: Path, *, label: str | None = None, ask: Ask | None = None) -> GuessedProfile:
    """Guess what the columns of a table mean from their names and the first 50,000 rows.

    Args:
        label: the label column, where the user knows it.
        ask: asked about what is doubtful; without it the likeliest is taken and said to be doubtful.

    Raises:
        InvalidInput: no such label column, no rows, no column that can be a feature, or a name that looks like a card
            number.
    """
    form, written = find_file_form(path)
    sample, whole = _sample(path, form)
    refuse_card_numbers_as_names(sample.columns, source=str(path))
    if label is not None and label not in sample.columns:
        raise InvalidInput(
            f"{path}: no column {label} to use as the label; the table has {shown_names(sample.columns)}"
        )
    table = Table(sample, whole)
    leave_out_unusable(table)
    find_label(table, label)
    find_time(table)
    find_label_time(table)
    find_amount(table)
    find_entities(table)
    find_the_rest(table)
    warnings = without_leaks(table)
    if ask is not None:
        _ask_about(table, ask)
    if not any(guess.is_feature for guess in table.guesses.values()):
        raise InvalidInput(f"{path}: found no column that can be a feature; write a profile by hand")
    schema = _schema(path, table, form)
    return GuessedProfile(schema, _in_order(table), (*_most_important(schema, table), *warnings, *written))


def _sample(path: Path, form: FileForm) -> tuple[pl.DataFrame, bool]:
    """The first rows, and whether they are all."""
    frames: list[pl.DataFrame] = []
    rows = 0
    for chunk in TableReader(path, form).chunks():
        frames.append(chunk.frame)
        rows += chunk.frame.height
        if rows > _SAMPLE_ROWS:
            break
    if rows == 0:
        raise InvalidInput(f"{path}: no rows below the header; expected transactions")
    return pl.concat(frames).head(_SAMPLE_ROWS), rows <= _SAMPLE_ROWS


def _ask_about(table: Table, ask: Ask) -> None:
    """Let the user decide on every doubtful guess, and name the label where none was found."""
    for guess in list(table.guesses.values()):
        column = guess.column
        if guess.confidence != "doubtful" or column is None or isinstance(column, IgnoreColumn):
            continue
        if ask(f"{guess.name}: {guess.reason}. Use it as {column.kind}?", [column.kind, _LEAVE_OUT]) == _LEAVE_OUT:
            table.guesses[guess.name] = Guess(guess.name, IgnoreColumn(), "left out on request", "sure")
    named = [name for name, facts in table.facts.items() if 2 <= facts.distinct <= 3]
    if named and not table.find(LabelColumn):
        answer = ask("No label was found. Which column says what was fraud (1 = fraud)?", [_NONE, *named])
        if answer != _NONE:
            table.guesses[answer] = Guess(answer, LabelColumn(), "said to be the label", "sure")


def _in_order(table: Table) -> tuple[Guess, ...]:
    """The guesses in the order of the columns they are read from."""
    place = {name: i for i, name in enumerate(table.facts)}
    return tuple(
        sorted(
            table.guesses.values(), key=lambda guess: min(place.get(n, math.inf) for n in (guess.name, *guess.reads))
        )
    )


def _schema(path: Path, table: Table, form: FileForm) -> TransactionSchema:
    columns = {guess.name: guess.column for guess in _in_order(table) if guess.column is not None}
    body = {
        "name": re.sub(r"[^a-z0-9_-]+", "-", path.name.split(".")[0].lower()).strip("-_")[:64] or "table",
        "description": f"Guessed from the columns of {path.name}; read it before you rely on it.",
        "file": form.model_dump(mode="json"),
        "columns": {name: column.model_dump(mode="json") for name, column in columns.items()},
    }
    schema = parse_schema(body, source=str(path))
    span = _span_days(schema, table)
    entity = {name: section.model_dump(mode="json") for name, section in sections(table, span).items()}
    delay = _LABEL_DELAY if schema.label and schema.timestamp and span >= 21 else "0d"
    for since in table.find(LabelTimestampColumn):
        delay = f"{min(days_until_known(table, since) or 1, max(span / 6, 1)):.0f}d"
    return parse_schema({**body, "entity": entity, "label_delay": delay}, source=str(path))


def _span_days(schema: TransactionSchema, table: Table) -> float:
    """How long the table's history is; infinite where only its beginning was looked at."""
    if not table.whole or not schema.timestamp:
        return math.inf
    only = schema.model_copy(update={"columns": {schema.timestamp: schema.columns[schema.timestamp]}})
    times = parse_rows(only, table.sample).time
    return float(times.max() - times.min()) / _DAY if len(times) else 0.0


def _most_important(schema: TransactionSchema, table: Table) -> list[str]:
    """What a user must know before he trains on a guess."""
    said: list[str] = []
    if not schema.label:
        said.append(
            "no label found: fraud in the history is learned as if it were legitimate, and detection is not measured"
        )
    if not schema.timestamp:
        said.append("no time found: rows count as they stand, and nothing is remembered of cards and merchants")
    if not schema.amount:
        said.append("no amount found")
    for name in schema.hashed:
        said.append(
            f"{name} holds card numbers, which are hashed on reading: put a secret into a file of mode 0600 "
            "(openssl rand -base64 32) and name the file in COUNTERFOIL_PSEUDONYM_KEY_FILE"
        )
    doubtful = [guess.name for guess in table.guesses.values() if guess.confidence == "doubtful"]
    if doubtful:
        said.append(f"doubtful, please read: {', '.join(doubtful)}")
    if schema.entity:
        said.append(f"behaviour features for {', '.join(section.key for section in schema.entity.values())}")
    elif schema.timestamp:
        said.append("no behaviour features: no card, customer or merchant that comes again was found")
    return said
