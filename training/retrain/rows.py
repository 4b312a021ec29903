"""The rows to retrain on: history files and the decision log as one history, each transaction once, labels known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from models.durations import duration_seconds
from models.errors import InvalidInput
from models.rows import FRAUD, LEGITIMATE, UNKNOWN, ParsedRows
from models.schema import TransactionSchema
from training.read import History, concat, read_history


@dataclass(frozen=True)
class Source:
    """What to gather.

    Attributes:
        files: of history; may be empty.
        recorded: the exported log, with :data:`models.outcomes.OUTCOME`; None where nothing is recorded.
        until: rows of this time or later are too young, microseconds as in the rows; None where none is.
        delay: how late labels arrive, e.g. ``7d``; said where rows are left out.
        known_as: gives rows of files the ids that their cards and merchants have in the log.
    """

    files: list[Path]
    recorded: Path | None
    until: int | None
    delay: str
    known_as: Callable[[ParsedRows], ParsedRows] = lambda rows: rows


@dataclass(frozen=True)
class Gathered:
    """One history in the order of time, and where it is from.

    Attributes:
        from_files, from_log: rows read.
        counts: what became of some of them: rows by words.
    """

    history: History
    from_files: int
    from_log: int
    counts: dict[str, int]

    def presumed(self) -> History:
        """The history with what nobody complained of in time taken for legitimate, disputed transactions aside."""
        label = self.history.label.copy()
        label[self.history.fitted & (label == UNKNOWN)] = LEGITIMATE
        return replace(self.history, label=label)


def matured_until(schema: TransactionSchema, delay: str, now: float) -> int | None:
    """The time from which on labels are not known yet, microseconds; None where times are none of the calendar.

    Args:
        now: seconds since 1970.

    Raises:
        InvalidInput: the schema has no timestamp.
    """
    if schema.timestamp is None:
        raise InvalidInput(f"profile '{schema.name}' has no timestamp column: nobody can tell which rows are recent")
    try:
        seconds = duration_seconds(delay)
    except ValueError as error:
        raise InvalidInput(f"label delay: {error}") from None
    return None if schema.elapsed else int((now - seconds) * 1e6)


def gather(schema: TransactionSchema, source: Source) -> Gathered:
    """Read files and log under one schema.

    A transaction that is in both counts once, known by its id; it has the log's label, or else the file's. Where the
    schema has no ids, what the files have from the log's first moment on is taken for the log's.

    Raises:
        InvalidInput: a file or a row cannot be used; there is no row that is old enough.
    """
    history = read_history(schema, source.files, known_as=source.known_as) if source.files else None
    if history is not None and history.behaviour is not None:
        raise InvalidInput(
            "the files have behaviour features as columns: a sample of a history, not the whole; use train"
        )
    log = read_history(schema, [source.recorded]) if source.recorded else None
    parts = [part for part in (history, log) if part is not None]
    if not parts:
        raise InvalidInput("nothing is recorded, and no history was named: there is nothing to retrain on")
    counts = {}
    if history is not None and log is not None:
        kept, log = _once(history, log)
        counts["in a file and in the log, counted once"] = len(history) - len(kept)
        parts = [kept, log]
    whole = concat(parts).in_time_order()
    old = len(whole) if source.until is None else int(np.searchsorted(whole.time, source.until, side="left"))
    counts[f"left out: younger than {source.delay}, the label is not known yet"] = len(whole) - old
    if old == 0:
        raise InvalidInput(
            f"all {len(whole):,} rows are younger than the label delay of {source.delay}: wait, name history, "
            "or set --label-delay"
        )
    whole = whole.take(slice(0, old))
    counts["left out: labelled fraud (never fitted)"] = int((whole.label == FRAUD).sum())
    if whole.disputed is not None:
        counts["left out: disputed (never fitted)"] = int(whole.disputed.sum())
    counts["never looked at: taken for legitimate"] = int((whole.fitted & (whole.label == UNKNOWN)).sum())
    return Gathered(
        replace(whole, reordered=False),
        0 if history is None else len(history),
        0 if log is None else len(log),
        {words: rows for words, rows in counts.items() if rows},
    )


def _once(history: History, log: History) -> tuple[History, History]:
    """The history without the rows that the log has, and the log with the labels that only the history knew."""
    if history.id is None or log.id is None:
        return history.take(history.time < log.time[0]), log
    ids = log.id
    table = pl.DataFrame({"id": history.id, "row": np.arange(len(history))}).unique("id", keep="last")
    found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")["row"]
    also = np.flatnonzero(found.is_not_null().to_numpy() & (log.label == UNKNOWN) & log.fitted)
    there = found.gather(also).to_numpy()
    label = log.label.copy()
    label[also] = history.label[there]
    known = log.known
    if known is not None and history.known is not None:
        known = known.copy()
        known[also] = history.known[there]
    log = replace(log, label=label, known=known)
    return history.take(~history.id.is_in(ids.implode()).to_numpy()), log
