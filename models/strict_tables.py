"""Tables that must have the columns of a schema, and those whose every row must be usable as well: read chunk by chunk,
the first bad rows told by file, line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from models.csv_stream import Numbers
from models.errors import InvalidInput
from models.parsing import parse_rows, require_columns
from models.rows import ParsedRows
from models.schema import TransactionSchema
from models.tables import TableReader

_SHOWN_ERRORS = 5


def opened(
    schema: TransactionSchema, path: Path, *, label: bool = False, numbers: Numbers | None = None
) -> TableReader:
    """A table that has the columns of the schema.

    Args:
        label: whether it must have those of the label, too.
        numbers: see :class:`models.tables.TableReader`.

    Raises:
        InvalidInput: it is unreadable, or lacks a column.
    """
    reader = TableReader(path, schema.file, numbers=numbers)
    require_columns(schema, reader.columns, source=str(path), label=label)
    return reader


def checked_chunks(
    schema: TransactionSchema, files: list[Path], progress: Callable[[int, int], None] | None = None
) -> Iterator[tuple[pl.DataFrame, ParsedRows]]:
    """The rows of all files, in order, as they stand and parsed.

    Args:
        progress: called with bytes read and bytes in all.

    Raises:
        InvalidInput: a file or a row cannot be used; names file, line, column and cause of the first few.
    """
    total = sum(file.stat().st_size for file in files)
    done = 0
    for file in files:
        reader = opened(schema, file)
        for chunk in reader.chunks():
            parsed = parse_rows(schema, chunk.frame)
            errors = chunk.errors(parsed)
            if errors:
                listed = "\n".join(f"  {error.told(reader.row_word)}" for error in errors[:_SHOWN_ERRORS])
                more = f"\n  and more in the same part of the file ({len(errors)} in all)"
                raise InvalidInput(
                    f"{file}: rows that cannot be used; correct or remove them, or change the profile:\n"
                    f"{listed}{more if len(errors) > _SHOWN_ERRORS else ''}"
                )
            yield chunk.frame, parsed
            if progress:
                progress(done + reader.position, total)
        done += reader.size


def checked_rows(
    schema: TransactionSchema, files: list[Path], progress: Callable[[int, int], None] | None = None
) -> ParsedRows:
    """The rows of all files in the order of time, parsed.

    Raises:
        InvalidInput: as :func:`checked_chunks`, or there is no row.
    """
    parts = [parsed for _, parsed in checked_chunks(schema, files, progress)]
    if not sum(len(part.time) for part in parts):
        raise InvalidInput(f"{files[0]}: no rows below the header; expected transactions")
    rows = ParsedRows.concat(parts)
    return rows.in_time_order()
