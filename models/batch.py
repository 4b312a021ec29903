"""Turn one table on disk into another under a model's schema, in constant memory: batch scoring and embedding."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.annotate import (
    CardMask,
    added_columns,
    hashed_fields,
    require_free_names,
    scored_frame,
    withheld,
)
from models.aside import written_aside
from models.behaviour.events import Behaviour
from models.behaviour.state_fork import StateFork
from models.errors import InvalidInput
from models.familiarity import Familiarity
from models.parsing import parse_rows
from models.rows import ParsedRows, RowError
from models.schema import TransactionSchema
from models.scorer import Scorer
from models.strict_tables import opened
from models.tables import TableReader, table_kind, write_frames

OnError = Literal["stop", "reject"]
Progress = Callable[[int, int], None]
_Found = TypeVar("_Found", covariant=True)  # noqa: PLC0105 - it is read in functions, too


class Prepared(Protocol[_Found]):
    """Parses each row of a table once: a chunk at a time, or all of them before the first is written."""

    def next(self, frame: pl.DataFrame) -> tuple[ParsedRows, _Found]:
        """The next chunk's rows that can be written, and what was found out of them."""

    def none(self) -> _Found:
        """What was found out of no rows."""


class KeptRows:
    """The rows of a table, parsed when it was read the first time: given out chunk by chunk when it is read again.

    Args:
        source: where they are from, for messages.
        parts: as the chunks come.
    """

    def __init__(self, source: Path, parts: Iterable[ParsedRows]) -> None:
        self._source, self._parts = source, deque(parts)

    def next(self, frame: pl.DataFrame) -> ParsedRows:
        """The rows of the next chunk, which are let go.

        Raises:
            InvalidInput: the table has changed since.
        """
        part = self._parts.popleft() if self._parts else None
        if part is None or len(part.good) != frame.height:
            raise InvalidInput(f"{self._source}: the file changed while it was read; run it again")
        return part


@dataclass(frozen=True)
class BatchReport:
    """What became of a table.

    Attributes:
        rows: rows written.
        alerts: of these, at or above the threshold; 0 for embeddings.
        rejected: rows left out.
        rejects: where they are listed, None if there are none.
        unfamiliar: categories most of whose values training did not know.
    """

    rows: int
    alerts: int
    rejected: int
    rejects: Path | None
    unfamiliar: tuple[str, ...] = ()


def score_table(
    scorer: Scorer,
    source: Path,
    output: Path,
    *,
    reasons: int = 0,
    on_error: OnError = "stop",
    fork: StateFork | None = None,
    on_progress: Progress | None = None,
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
        on_progress: called with bytes read and bytes in all.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """
    familiarity = Familiarity(scorer.schema, scorer.vocabulary)

    def annotate(frame: pl.DataFrame, parsed: ParsedRows, behaviour: NDArray[np.float64]) -> pl.DataFrame:
        familiarity.look(parsed.batch(scorer.vocabulary).categorical)
        return scored_frame(scorer, frame, parsed, reasons, behaviour)

    prepare = partial(_prepared, scorer, source, fork)
    added = added_columns(reasons)
    report = transform_table(scorer.schema, source, output, added, prepare, annotate, on_error, on_progress)
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

    def annotate(frame: pl.DataFrame, parsed: ParsedRows, behaviour: NDArray[np.float64]) -> pl.DataFrame:
        codes = scorer.codes(parsed.batch(scorer.vocabulary).with_behaviour(behaviour))
        return frame.filter(pl.Series(parsed.good)).hstack(pl.from_numpy(codes, schema=names).get_columns())

    prepare = partial(_prepared, scorer, source, fork)
    return transform_table(scorer.schema, source, output, names, prepare, annotate, on_error, on_progress)


def transform_table(
    schema: TransactionSchema,
    source: Path,
    output: Path,
    added: Sequence[str],
    prepare: Callable[[], Prepared[_Found]],
    annotate: Callable[[pl.DataFrame, ParsedRows, _Found], pl.DataFrame],
    on_error: OnError,
    on_progress: Progress | None,
) -> BatchReport:
    """Write a table's rows with further columns. Card numbers in columns that the schema does not name are withheld.

    Args:
        added: names of the further columns.
        prepare: called once the table is known to have the columns of the schema.
        annotate: a chunk, its good rows, and what was prepared of them, to the frame that is written.

    Raises:
        InvalidInput: naming file, line, column and cause.
    """
    kind = table_kind(output, written=True)
    reader = opened(schema, source)
    if output.exists() and output.samefile(source):
        raise InvalidInput(f"{output}: is the input itself; give the output another name")
    require_free_names(reader.columns, added)
    checked = {field for name in (*schema.inputs, schema.label) if name for field in schema.columns[name].fields(name)}
    unchecked = [name for name in reader.columns if name not in checked]
    secret = hashed_fields(schema)
    mask = CardMask(schema.trusted)
    prepared = prepare()
    rejects_path = output.with_name(output.name + ".rejects.csv")
    rejected: list[RowError] = []
    rows = alerts = 0

    def frames() -> Iterator[pl.DataFrame]:
        nonlocal rows, alerts
        empty = True
        for chunk in reader.chunks():
            parsed, found = prepared.next(chunk.frame)
            bad = chunk.errors(parsed)
            if bad and on_error == "stop":
                raise InvalidInput(f"{source}: {bad[0].told(reader.row_word)}")
            rejected.extend(bad)
            frame = mask.hide(withheld(annotate(chunk.frame, parsed, found), secret), unchecked)
            rows += frame.height
            if "is_anomaly" in added:
                alerts += int(frame["is_anomaly"].sum())
            if on_progress:
                on_progress(reader.position, reader.size)
            empty = False
            yield frame
        if empty:
            nothing = pl.DataFrame(schema=reader.schema)
            yield annotate(nothing, parse_rows(schema, nothing), prepared.none())

    with written_aside(output) as aside:
        write_frames(aside, frames(), delimiter=reader.delimiter, kind=kind)
        if rejected:
            with written_aside(rejects_path) as rejects_aside:
                _rejects_frame(rejected, reader).write_csv(rejects_aside)
        else:
            rejects_path.unlink(missing_ok=True)
    return BatchReport(rows, alerts, len(rejected), rejects_path if rejected else None)


def _prepared(scorer: Scorer, source: Path, fork: StateFork | None) -> Prepared[NDArray[np.float64]]:
    behaviour = Behaviour(scorer.schema)
    if not behaviour:
        return _NoHistory(scorer.schema)
    return _History(scorer, source, fork or StateFork(behaviour, lambda _: {}))


class _NoHistory:
    """No behaviour features."""

    def __init__(self, schema: TransactionSchema) -> None:
        self._schema = schema

    def next(self, frame: pl.DataFrame) -> tuple[ParsedRows, NDArray[np.float64]]:
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
        self._given = 0
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

    def next(self, frame: pl.DataFrame) -> tuple[ParsedRows, NDArray[np.float64]]:
        """The next chunk's rows that can be scored, with their features."""
        parsed = self._kept.next(frame)
        mine = slice(self._given, self._given + len(parsed.time))
        self._given = mine.stop
        late, features = self._late[mine], self._features[mine]
        if late.any():
            parsed, features = parsed.refuse(late, self._timestamp, self._cause), features[~late]
        return parsed, features

    def none(self) -> NDArray[np.float64]:
        """The features of no rows."""
        return self._features[:0]


def _rejects_frame(rejected: list[RowError], reader: TableReader) -> pl.DataFrame:
    return pl.DataFrame(
        {
            reader.row_word: np.array([error.row for error in rejected]),
            "column": [error.column for error in rejected],
            "cause": [error.cause for error in rejected],
        }
    )
