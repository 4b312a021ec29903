"""From a table to a guessed profile: its columns told apart one role after the other, written down with reasons."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from models.errors import InvalidInput
from models.parsing import parse_rows, refuse_card_numbers_as_names, shown_names
from models.schema import FileForm, IgnoreColumn, LabelTimestampColumn, TransactionSchema, parse_schema
from models.tables import TableReader
from training.guess.amounts import find_amount
from training.guess.entities import find_entities, sections
from training.guess.features import find_the_rest, leave_out_unusable, without_leaks
from training.guess.file_form import find_file_form
from training.guess.labels import find_label
from training.guess.questions import Ask, ask_about
from training.guess.table import Guess, Table
from training.guess.times import days_until_known, find_label_time, find_time

_SAMPLE_ROWS, _MOST_FILES = 50_000, 50
_LABEL_DELAY = "7d"
_DAY = 86_400_000_000


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


def guess_profile(files: Path | Sequence[Path], *, label: str | None = None, ask: Ask | None = None) -> GuessedProfile:
    """Guess what the columns of a table mean from their names and the first rows, 50,000 of all its files together.

    Args:
        files: of one table, in parts.
        label: the label column, where the user knows it.
        ask: asked about what is doubtful; without it the likeliest is taken and said to be doubtful.

    Raises:
        InvalidInput: no such label column, no rows, no column that can be a feature, or a name that looks like a card
            number.
    """
    files = [files] if isinstance(files, Path) else files
    path = files[0]
    form, written = _form(files)
    sample, whole = _sample(files, form)
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
        ask_about(table, ask)
    if not any(guess.is_feature for guess in table.guesses.values()):
        raise InvalidInput(f"{path}: found no column that can be a feature; write a profile by hand")
    schema = _schema(path, table, form)
    return GuessedProfile(schema, _in_order(table), (*_most_important(schema, table), *warnings, *written))


def _form(files: Sequence[Path]) -> tuple[FileForm, list[str]]:
    """How the files are written: as the first one, in the encoding of the first that is not plain UTF-8.

    Raises:
        InvalidInput: one cannot be read, or has its header elsewhere.
    """
    form, told = find_file_form(files[0])
    for file in files[1:_MOST_FILES]:
        other, said = find_file_form(file)
        if other.header_line != form.header_line:
            raise InvalidInput(
                f"{file}: its header stands on line {other.header_line}, that of {files[0]} on line "
                f"{form.header_line}: give the files one form, or train on one of them"
            )
        skip = tuple(dict.fromkeys((*form.skip, *other.skip)))
        form = form.model_copy(update={"skip": skip})
        if form.encoding == "utf-8" != other.encoding:
            form, told = form.model_copy(update={"encoding": other.encoding}), [*told, *said]
    return form, told


def _sample(files: Sequence[Path], form: FileForm) -> tuple[pl.DataFrame, bool]:
    """The first rows of each file, and whether they are all. Columns that a file lacks are left out.

    Raises:
        InvalidInput: there are no rows, or no column that all files have.
    """
    looked_at = files[:_MOST_FILES]
    most = _SAMPLE_ROWS // len(looked_at)
    frames: list[pl.DataFrame] = []
    whole = len(looked_at) == len(files)
    for file in looked_at:
        rows = 0
        for chunk in TableReader(file, form, head=most).chunks():
            frames.append(chunk.frame.head(most - rows))
            rows += chunk.frame.height
            if rows >= most:
                break
        whole &= rows < most
    if not sum(frame.height for frame in frames):
        raise InvalidInput(f"{files[0]}: no rows below the header; expected transactions")
    common = [name for name in frames[0].columns if all(name in frame.columns for frame in frames)]
    if not common:
        raise InvalidInput(f"{files[0]} and the files after it have no column in common; train on one kind of table")
    return pl.concat([frame.select(common) for frame in frames], how="vertical_relaxed"), whole


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
    for guess in table.guesses.values():
        if guess.confidence == "doubtful" and not isinstance(guess.column, IgnoreColumn):
            said.append(f"DOUBTFUL {guess.name}: {guess.reason}")
    if schema.entity:
        said.append(f"behaviour features for {', '.join(section.key for section in schema.entity.values())}")
    elif schema.timestamp:
        said.append("no behaviour features: no card, customer or merchant that comes again was found")
    return said
