"""One text for every value of an id, an entity or a category, whatever the type of the file or of JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

_LARGEST_EXACT = 2**53
_SEPARATOR = "|"
_WHOLE = re.compile(r"[+-]?[0-9]+\.0+\Z")
#: A spreadsheet's way to write a long number: only its first digits are left.
_ROUNDED = r"^[+-]?[0-9](?:[.,][0-9]+)?[eE]\+[0-9]{2,3}$"
ROUNDED_CAUSE = (
    "a spreadsheet has rounded this id (4.11E+15 is all that is left): export it as text, "
    "or format the column as a number without decimals before saving"
)


def text_of(value: str | float) -> str:
    """The text of a value from JSON: an integer for a whole float, ``true`` and ``false`` for booleans."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < _LARGEST_EXACT:
            return str(int(value))
        case _:
            return repr(value)


def text_column(cells: pl.Series) -> pl.Series:
    """:func:`text_of` each cell of a column of any type that is no list, structure or bytes."""
    if cells.dtype == pl.String:
        return cells
    if cells.dtype.is_float():
        exact = cells.cast(pl.Float64)
        values = exact.unique().drop_nulls()
        if values.is_empty():
            return cells.cast(pl.String)
        texts = pl.Series([text_of(value) for value in values], dtype=pl.String)
        return exact.replace_strict(values, texts, return_dtype=pl.String).alias(cells.name)
    text = cells.cast(pl.String, strict=False)
    if cells.dtype.is_decimal():
        text = text.str.replace(r"(\.[0-9]*?)0+$", "$1").str.replace(r"\.$", "")
    return text


def same_text(text: str) -> str:
    """One text for what several programs write of one value: no blanks around it, 5411 for 5411.0, true for True."""
    text = text.strip(" \t")
    if _WHOLE.match(text):
        text = text.partition(".")[0].removeprefix("+")
    return text.lower() if text.lower() in ("true", "false") else text


def same_text_column(cells: pl.Series) -> pl.Series:
    """:func:`same_text` of a text column."""
    cells = cells.str.strip_chars(" \t").str.replace(r"^\+?(-?[0-9]+)\.0+$", "$1")
    folded = cells.str.to_lowercase()
    return cells.zip_with(~folded.is_in(["true", "false"]).fill_null(False), folded)


def joined(parts: Sequence[str]) -> str:
    """One text for several, and for no others: a ``|`` or ``\\`` in a part has a ``\\`` before it."""
    if len(parts) == 1:
        return parts[0]
    return _SEPARATOR.join(part.replace("\\", "\\\\").replace(_SEPARATOR, "\\" + _SEPARATOR) for part in parts)


def joined_columns(parts: Sequence[pl.Series]) -> pl.Series:
    """:func:`joined` of text columns; null where a part is null."""
    if len(parts) == 1:
        return parts[0]
    safe = [
        part.str.replace_all("\\", "\\\\", literal=True).str.replace_all("|", "\\|", literal=True) for part in parts
    ]
    whole = safe[0]
    for part in safe[1:]:
        whole = whole + _SEPARATOR + part
    return whole


def rounded(text: str) -> bool:
    """Whether a spreadsheet has left only the first digits of a long number."""
    return re.fullmatch(_ROUNDED, text) is not None


def rounded_rows(cells: pl.Series) -> pl.Series:
    """:func:`rounded` of a text column."""
    return cells.str.contains(_ROUNDED)
