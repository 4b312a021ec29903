"""What every command prints with: standard output, standard error, tables, progress bars; and its exit codes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

out = Console(highlight=False, soft_wrap=True, markup=False)
err = Console(stderr=True, highlight=False, soft_wrap=True)
tables = Console(highlight=False, width=1_000)  # a version or an id is worth nothing when its end is missing
EXIT_REJECTED, EXIT_ERROR, EXIT_NOT_ACTIVATED, EXIT_INTERRUPTED = 1, 2, 3, 130


@contextmanager
def progress(*fields: str) -> Iterator[Progress]:
    """Progress bars on standard error; none where it is no terminal. ``fields``: of each task, shown beside its bar."""
    columns = [TextColumn(f"{{task.fields[{field}]}}") for field in fields]
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        *columns,
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bars:
        yield bars


class Advance(Protocol):
    """Moves a task's bar; ``rows`` done so far are told with their rate, where the task has the field ``rows``."""

    def __call__(self, done: int, total: int, rows: int = 0, /) -> None: ...


def advance(bars: Progress, task: TaskID) -> Advance:
    """What to call to move a task's bar."""
    begun = time.monotonic()

    def update(done: int, total: int, rows: int = 0, /) -> None:
        bars.update(task, completed=done, total=total)
        if rows:
            bars.update(task, rows=f"{rows:,} rows, {rows / (time.monotonic() - begun):,.0f}/s")

    return update
