"""What is to be put on a list or taken off, as people say it, checked and made a change: for API and command line."""

from __future__ import annotations

import time
from typing import Any

from app.problems import Refused, name_or_withheld
from app.pseudonyms import Pseudonyms, looks_masked
from app.refusals import FieldProblem
from app.rules.lists import NAMES
from app.store.records import ListChange, ListName
from models.durations import duration_seconds
from models.pan import contains_card_number
from models.reading.causes import Unusable
from models.reading.texts import read_text
from models.schema import TextColumn, TransactionSchema
from models.times import parse_time

MOST, LONGEST_NOTE = 1_000, 500
_UNTIL = "expected a time to come, e.g. 2027-01-31T00:00:00Z, or a duration from now, e.g. 30d"


def columns_of(schema: TransactionSchema) -> tuple[str, ...]:
    """The columns whose values can be listed: the texts that a transaction has, its own id aside."""
    inputs = ((name, schema.columns[name]) for name in schema.inputs)
    return tuple(name for name, column in inputs if isinstance(column, TextColumn) and name != schema.id)


def longest_value(schema: TransactionSchema) -> int:
    """The most characters that a value of any of these columns has, as it is kept."""
    columns = [schema.columns[name].plain() for name in columns_of(schema)]
    return max((column.max_length for column in columns if isinstance(column, TextColumn)), default=1)


def changes(
    schema: TransactionSchema,
    pseudonyms: Pseudonyms,
    name: ListName,
    column: str,
    values: Any,
    *,
    listed: bool,
    until: str | None = None,
    by: str | None = None,
    note: str = "",
) -> list[ListChange]:
    """The changes that are meant, not numbered yet.

    Args:
        values: a list of the column's values, as a transaction has them.
        until: a time, or a duration from now; None for as long as nobody takes it off.

    Raises:
        Refused: 422, or 409 where the column has no values as long, naming the field at fault, never its value.
    """
    now = time.time_ns() // 1_000
    if not isinstance(values, list) or not 0 < len(values) <= MOST:
        raise refusal("values", f"expected a list of 1 to {MOST:,} values")
    stored = [stored_value(schema, pseudonyms, column, value, f"values.{i}") for i, value in enumerate(values)]
    end = None if until is None else _end(until, now)
    if listed and name == "snooze" and end is None:
        raise refusal("until", "missing: who is snoozed is snoozed until a time, e.g. 30d")
    if len(note) > LONGEST_NOTE or "\0" in note:
        raise refusal("note", f"expected at most {LONGEST_NOTE} characters, none of them NUL")
    if contains_card_number(note) or (pseudonyms.fingerprint and looks_masked(note)):
        raise refusal("note", "looks like a card number; no card number is kept here")
    return [ListChange(0, now, name, column, value, listed, end, by, note) for value in dict.fromkeys(stored)]


def list_name(text: Any) -> ListName:
    """The list of a name.

    Raises:
        Refused: there is none.
    """
    for name in NAMES:
        if text == name:
            return name
    raise refusal("list", f"expected one of {', '.join(NAMES)}")


def stored_value(schema: TransactionSchema, pseudonyms: Pseudonyms, column: Any, value: Any, field: str) -> str:
    """A value as the log has it, its pseudonym where the ids of the column are kept as such.

    Args:
        field: that it stands in, for messages.

    Raises:
        Refused: the column has no list, or the value cannot be one of it.
    """
    known = columns_of(schema)
    if not isinstance(column, str) or column not in known:
        told = name_or_withheld(column) if isinstance(column, str) else "it"
        raise refusal("column", f"{told} is no column with texts; expected one of {', '.join(known) or 'none'}")
    declared = schema.columns[column]
    hasher = schema.key_hasher if column in schema.hashed else None
    plain = declared if hasher is not None else declared.plain()
    assert isinstance(plain, TextColumn)
    if isinstance(value, str) and plain.max_length < len(value) <= longest_value(schema):
        fault = FieldProblem(field=field, message=f"longer than {plain.max_length} characters, the most of {column}")
        raise Refused("conflict", "no list was changed", [fault])
    try:
        text = read_text(plain, [value], hasher)
    except Unusable as error:
        raise refusal(field, str(error)) from None
    if not text:
        raise refusal(field, "missing value")
    return pseudonyms.stored(column, text)


def refusal(field: str, message: str) -> Refused:
    """What is at fault."""
    return Refused("invalid-list", "no list was changed", [FieldProblem(field=field, message=message)])


def _end(text: str, now: int) -> int:
    try:
        end = now + duration_seconds(text) * 1_000_000
    except ValueError:
        try:
            end = parse_time(text, "iso8601-utc")
        except ValueError:
            raise refusal("until", _UNTIL) from None
    if end <= now:
        raise refusal("until", _UNTIL)
    return end
