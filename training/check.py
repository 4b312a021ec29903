"""Read a whole table with a profile and say what would be refused, per column: one pass, constant memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.parsing import parse_rows
from models.rows import FRAUD, LEGITIMATE
from models.schema import TransactionSchema
from models.strict_tables import opened

_EXAMPLES = 3


@dataclass
class Refusals:
    """Cells of one column that are refused for one cause.

    Attributes:
        rows: how many.
        lines: where the first few are: lines of a CSV, rows of a Parquet file.
    """

    rows: int = 0
    lines: list[int] = field(default_factory=list)


@dataclass
class TableCheck:
    """What a table holds under a profile.

    Attributes:
        rows: in all; ``refused``: those that cannot be used.
        refusals: by column and cause. A row with several bad cells counts for each.
        fraud, legitimate: rows of a known label.
        first, last: earliest and latest time, microseconds; None without times or rows.
        unordered: rows that are earlier than the row before them.
        row_word: what ``lines`` count, "line" or "row".
    """

    rows: int = 0
    refused: int = 0
    refusals: dict[tuple[str, str], Refusals] = field(default_factory=dict)
    fraud: int = 0
    legitimate: int = 0
    first: int | None = None
    last: int | None = None
    unordered: int = 0
    row_word: str = "line"

    def note(self, column: str, cause: str, lines: NDArray[np.int64]) -> None:
        """Count cells that are refused."""
        found = self.refusals.setdefault((column, cause), Refusals())
        found.rows += len(lines)
        found.lines += lines[: _EXAMPLES - len(found.lines)].tolist()


def check_table(
    schema: TransactionSchema, path: Path, on_progress: Callable[[int, int], None] | None = None
) -> TableCheck:
    """Read every row of a table.

    Raises:
        InvalidInput: the file cannot be read, or lacks a column.
    """
    reader = opened(schema, path)
    check = TableCheck(row_word=reader.row_word)
    previous: int | None = None
    for chunk in reader.chunks():
        lines = chunk.lines
        parsed = parse_rows(
            schema,
            chunk.frame,
            on_cause=lambda column, cause, rows, lines=lines: check.note(column, cause, lines[rows]),  # type: ignore[misc]
        )
        for error in chunk.broken:
            check.note("", error.cause, np.array([error.row]))
        check.rows += chunk.frame.height + len(chunk.broken)
        check.refused += int((~parsed.good).sum()) + len(chunk.broken)
        if parsed.label is not None:
            check.fraud += int((parsed.label == FRAUD).sum())
            check.legitimate += int((parsed.label == LEGITIMATE).sum())
        if schema.timestamp and len(parsed.time):
            times = parsed.time if previous is None else np.concatenate([[previous], parsed.time])
            check.unordered += int((np.diff(times) < 0).sum())
            previous = int(parsed.time[-1])
            low, high = int(parsed.time.min()), int(parsed.time.max())
            check.first = low if check.first is None else min(check.first, low)
            check.last = high if check.last is None else max(check.last, high)
        if on_progress:
            on_progress(reader.position, reader.size)
    return check
