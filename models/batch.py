"""Batch scoring and embedding: a table on disk in, the same table with further columns out, in bounded memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.ahead import in_order
from models.annotate import added_columns, scored_columns
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.spill import FeatureSpill
from models.behaviour.state_fork import TOO_LATE, StateFork
from models.bulk import for_many
from models.errors import InvalidInput
from models.familiarity import Familiarity
from models.kept_results import KeptResults
from models.parsing import parse_rows
from models.rows import ParsedRows
from models.schema import TransactionSchema
from models.scorer import Scorer
from models.tables import TableReader
from models.transform import BatchReport, OnError, Prepared, Progress, transform_table


def score_table(
    scorer: Scorer,
    source: Path,
    output: Path,
    *,
    reasons: int = 0,
    on_error: OnError = "stop",
    fork: StateFork | None = None,
    on_progress: Progress | None = None,
    kept: KeptResults | None = None,
) -> BatchReport:
    """Write the input's columns in order with those of :func:`models.annotate.added_columns`.

    The input's columns are untouched, but for card numbers in those that the schema does not name: they are withheld.

    Args:
        reasons: reason columns per row.
        on_error: ``stop`` raises at the first bad row and leaves no output; ``reject`` lists bad rows in
            ``<output>.rejects.csv`` (line, column, cause) and goes on.
        fork: gives the rows their behaviour features, in the order of their time; without one, every card and
            merchant is new. Where the model has such features the file is read twice, and what its rows are to their
            cards and merchants waits on disk beside the output.
        on_progress: called with bytes read, bytes in all, and rows written.
        kept: results of a run that was broken off, and where those of this one are kept; of the same input, model and
            options.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """
    familiarity = Familiarity(scorer.schema, scorer.vocabulary)
    many = for_many(scorer)

    def annotate(parsed: ParsedRows, behaviour: NDArray[np.float64]) -> list[pl.Series]:
        return scored_columns(many, parsed.batch(scorer.vocabulary).with_behaviour(behaviour), reasons)

    with ExitStack() as stack:
        report = transform_table(
            scorer.schema,
            source,
            output,
            added_columns(reasons),
            partial(_prepared, scorer, source, output, fork, on_progress, stack),
            annotate,
            on_error,
            _part(on_progress, 2) if scorer.schema.behaviour else on_progress,
            threads=scorer.graph.threads,
            seen=lambda parsed: familiarity.look(parsed.batch(scorer.vocabulary).categorical),
            kept=kept,
            as_numbers=not scorer.schema.behaviour and not reasons,
        )
    return replace(report, unfamiliar=familiarity.news())


def embed_table(
    scorer: Scorer,
    source: Path,
    output: Path,
    *,
    on_error: OnError = "stop",
    fork: StateFork | None = None,
    on_progress: Progress | None = None,
) -> BatchReport:
    """Write the input's columns with the code h = f(x) as code_1, code_2, … Otherwise as :func:`score_table`."""
    names = [f"code_{i}" for i in range(1, scorer.manifest.architecture.code_size + 1)]

    def annotate(parsed: ParsedRows, behaviour: NDArray[np.float64]) -> list[pl.Series]:
        codes = scorer.codes(parsed.batch(scorer.vocabulary).with_behaviour(behaviour))
        return pl.from_numpy(codes, schema=names).get_columns()

    with ExitStack() as stack:
        prepare = partial(_prepared, scorer, source, output, fork, on_progress, stack)
        told = _part(on_progress, 2) if scorer.schema.behaviour else on_progress
        return transform_table(scorer.schema, source, output, names, prepare, annotate, on_error, told)


def _prepared(
    scorer: Scorer, source: Path, output: Path, fork: StateFork | None, told: Progress | None, stack: ExitStack
) -> Prepared[NDArray[np.float64]]:
    """Args: ``stack``: closes what waits on disk."""
    if not scorer.schema.behaviour:
        return _NoHistory(scorer.schema)
    fork = fork or StateFork(Behaviour(scorer.schema), None)
    try:
        spill = stack.enter_context(FeatureSpill(fork.behaviour, output.parent))
    except OSError as error:
        raise InvalidInput(f"{output}: cannot be written: {error.strerror}") from None
    history = _History(scorer.schema, source, spill)
    history.read(fork, scorer.graph.threads, told)
    return history


def _part(told: Progress | None, number: int) -> Progress | None:
    """Tells one of the three passes of a table with behaviour features as a third of the way."""
    return told and (lambda done, of, rows: told(number * of + done, 3 * of, rows))


class _NoHistory:
    """No behaviour features."""

    def __init__(self, schema: TransactionSchema) -> None:
        self._schema = schema

    def chunk(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, NDArray[np.float64]]:
        """All rows."""
        parsed = parse_rows(self._schema, frame)
        return parsed, np.empty((len(parsed.time), 0))

    def none(self) -> NDArray[np.float64]:
        """Of no rows."""
        return np.empty((0, 0))


class _History:
    """The behaviour features of a whole table, computed in the order of time and given out in the order of the file."""

    def __init__(self, schema: TransactionSchema, source: Path, spill: FeatureSpill) -> None:
        self._schema, self._source, self._spill = schema, source, spill
        #: Of each chunk: all rows and good ones.
        self._sizes: list[tuple[int, int]] = []

    def read(self, fork: StateFork, threads: int, told: Progress | None) -> None:
        """Read the table for the first time, and compute the features of its rows."""
        reader = TableReader(self._source, self._schema.file)

        def work(item: tuple[pl.DataFrame, int]) -> tuple[int, int, list[EntityEvents], int]:
            parsed = parse_rows(self._schema, item[0])
            return item[0].height, len(parsed.time), fork.events(parsed), item[1]

        items = ((chunk.frame, reader.position) for chunk in reader.chunks())
        reading, running = _part(told, 0), _part(told, 1)
        for height, rows, events, position in in_order(work, items, threads):
            self._sizes.append((height, rows))
            self._spill.add(rows, events)
            if reading:
                reading(position, reader.size, 0)
        self._spill.run(
            fork.lookup,
            threads=threads,
            told=lambda done, of: running and running(reader.size * done // of, reader.size, 0),
        )

    def chunk(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, NDArray[np.float64]]:
        """The chunk's rows that can be scored, with their features."""
        parsed = parse_rows(self._schema, frame)
        if self._sizes[number : number + 1] != [(frame.height, len(parsed.time))]:
            raise InvalidInput(f"{self._source}: the file changed while it was read; run it again")
        late, features = self._spill.chunk(number)
        if late.any():
            parsed, features = parsed.refuse(late, self._schema.timestamp or "", TOO_LATE), features[~late]
        return parsed, features

    def none(self) -> NDArray[np.float64]:
        """The features of no rows."""
        return np.empty((0, len(self._schema.behaviour)))
