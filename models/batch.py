"""Batch scoring and embedding: a table on disk in, the same table with further columns out, in bounded memory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.annotate import added_columns, scored_columns
from models.behaviour.events import Behaviour
from models.behaviour.state_fork import StateFork
from models.bulk import for_many
from models.familiarity import Familiarity
from models.kept_results import KeptResults
from models.parsing import parse_rows
from models.rows import ParsedRows
from models.schema import TransactionSchema
from models.scorer import Scorer
from models.tables import TableReader
from models.transform import BatchReport, KeptRows, OnError, Prepared, Progress, transform_table


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
            merchant is new. Where the model has such features the file is read twice; it is parsed once, and memory
            holds its rows as columns.
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

    prepare = partial(_prepared, scorer, source, fork)
    report = transform_table(
        scorer.schema,
        source,
        output,
        added_columns(reasons),
        prepare,
        annotate,
        on_error,
        on_progress,
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

    prepare = partial(_prepared, scorer, source, fork)
    return transform_table(scorer.schema, source, output, names, prepare, annotate, on_error, on_progress)


def _prepared(scorer: Scorer, source: Path, fork: StateFork | None) -> Prepared[NDArray[np.float64]]:
    if not scorer.schema.behaviour:
        return _NoHistory(scorer.schema)
    return _History(scorer, source, fork or StateFork(Behaviour(scorer.schema), lambda _: {}))


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

    def __init__(self, scorer: Scorer, source: Path, fork: StateFork) -> None:
        parts = [parse_rows(scorer.schema, chunk.frame) for chunk in TableReader(source, scorer.schema.file).chunks()]
        self._kept = KeptRows(source, parts)
        self._timestamp = scorer.schema.timestamp or ""
        self._late, self._cause = np.empty(0, bool), ""
        self._features = np.empty((0, fork.behaviour.width))
        if not parts:
            return
        whole = ParsedRows.concat(parts)
        order = np.argsort(whole.time, kind="stable")
        kept, features = fork.take(whole.take(order))
        self._late = np.empty(len(order), bool)
        self._late[order] = ~kept.good
        self._features = np.empty((len(order), fork.behaviour.width))
        self._features[order[kept.good]] = features
        self._cause = kept.errors[0].cause if kept.errors else ""

    def chunk(self, number: int, frame: pl.DataFrame) -> tuple[ParsedRows, NDArray[np.float64]]:
        """The chunk's rows that can be scored, with their features."""
        parsed, mine = self._kept.take(number, frame)
        late, features = self._late[mine], self._features[mine]
        if late.any():
            parsed, features = parsed.refuse(late, self._timestamp, self._cause), features[~late]
        return parsed, features

    def none(self) -> NDArray[np.float64]:
        """The features of no rows."""
        return self._features[:0]
