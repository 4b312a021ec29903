"""Ids, entities and categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from models.errors import InvalidInput
from models.forms.texts import (
    ROUNDED_CAUSE,
    joined,
    joined_columns,
    rounded,
    rounded_rows,
    same_text,
    same_text_column,
    text_column,
    text_of,
)
from models.key_hash import KeyHash
from models.pan import card_number_rows, column_of_cards, contains_card_number
from models.reading.causes import CARD_NUMBER, CARD_NUMBER_AFTER_ALL, MISSING, NUL, Causes, Unusable
from models.schema import CategoricalColumn, TextColumn


def as_text(name: str, cells: pl.Series) -> pl.Series:
    """A column of any type as text, one text for each value.

    Raises:
        InvalidInput: it holds lists, structures or bytes.
    """
    if cells.dtype.is_nested() or cells.dtype in (pl.Binary, pl.Object):
        raise InvalidInput(f"column {name}: expected text, the table holds {cells.dtype}")
    return text_column(cells)


def read_texts(
    name: str, column: TextColumn, cells: Sequence[pl.Series], causes: Causes, keys: KeyHash | None = None
) -> pl.Series:
    """The column's text in each row; its pseudonym where there are keys to be hashed."""
    parts = [as_text(name, part) for part in cells]
    if column.any_type:
        parts = [same_text_column(part) for part in parts]
    nullable = isinstance(column, CategoricalColumn) and column.nullable
    if isinstance(column, CategoricalColumn) and column.missing:
        parts = [part.set(part.is_in(column.missing).fill_null(False), None) for part in parts]
    if not nullable:
        for part in parts:
            causes.add(name, part.is_null() | (part == ""), MISSING)
    if not isinstance(column, CategoricalColumn):
        for part in parts:
            causes.add(name, rounded_rows(part), ROUNDED_CAUSE)
    text = joined_columns([part.set(part == "", None) for part in parts] if len(parts) > 1 else parts)
    if isinstance(column, CategoricalColumn) and column.derive == "prefix":
        text = text.str.head(column.length or 1)
    causes.add(name, text.str.len_chars() > column.max_length, f"longer than {column.max_length} characters")
    causes.add(name, text.str.contains("\0", literal=True), NUL)
    if keys is not None:
        return keys.column(text)
    for part in parts:
        if not column.no_card_numbers:
            causes.add_rows(name, card_number_rows(part), CARD_NUMBER)
        elif column_of_cards(part):
            causes.add_rows(name, card_number_rows(part), CARD_NUMBER_AFTER_ALL)
    return text


def read_text(column: TextColumn, values: Sequence[Any], keys: KeyHash | None = None) -> str | None:
    """The column's text, given the JSON value of each field; None where it may be missing; a pseudonym where hashed.

    Raises:
        Unusable: it is no such text.
    """
    parts = [_part(column, value) for value in values]
    category = column if isinstance(column, CategoricalColumn) else None
    if (category is None or not category.nullable) and not all(parts):
        raise Unusable(MISSING)
    if len(parts) > 1:
        parts = [part or None for part in parts]
    if category is None and any(rounded(part) for part in parts if part):
        raise Unusable(ROUNDED_CAUSE)
    present = [part for part in parts if part is not None]
    text = joined(present) if len(present) == len(parts) else None
    if text is not None:
        if category is not None and category.derive == "prefix":
            text = text[: category.length or 1]
        if len(text) > column.max_length:
            raise Unusable(f"longer than {column.max_length} characters")
        if "\0" in text:
            raise Unusable(NUL)
    if keys is not None and text is not None:
        return keys.of_key(text)
    if not column.no_card_numbers and any(map(contains_card_number, present)):
        raise Unusable(CARD_NUMBER)
    return text


def _part(column: TextColumn, value: Any) -> str | None:
    """The text of one field, None where there is none."""
    if value is None:
        return None
    if column.any_type and type(value) in (int, float, bool):
        value = text_of(value)
    if not isinstance(value, str):
        raise Unusable("not a string")
    text = same_text(value) if column.any_type else value
    return None if isinstance(column, CategoricalColumn) and text in column.missing else text
