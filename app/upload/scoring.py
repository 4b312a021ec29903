"""A CSV upload scored piece by piece: bytes in, bytes out, nothing of the file kept.

Every record comes out, in order. One that cannot be scored has empty score columns and its cause in ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from app.problems import Refused
from app.refusals import FieldProblem
from models.annotate import (
    CardMask,
    added_columns,
    hashed_fields,
    require_free_names,
    scored_columns,
    unchecked_columns,
    withheld,
)
from models.behaviour.state_fork import StateFork
from models.bulk import for_many
from models.csv_stream import Chunk, CsvSplitter
from models.familiarity import Familiarity
from models.pan import contains_card_number
from models.parsing import missing_fields, parse_rows
from models.reading.plain_numbers import plain_fields, surely_plain
from models.rows import ParsedRows, RowError, at_lines
from models.scorer import Scorer
from models.tables import csv_bytes, widened_lines
from models.tables.reader import without_skipped
from models.tables.streams import Utf8Decoder

ERROR = "error"
#: From so many rows on, the scorer for many pays what it takes to make it.
_MANY = 1_000
#: Rows scored at once while others want the processor: some ten milliseconds.
_FEW = 512


class CsvScoring:
    """One upload. Not thread-safe; what its methods give takes long to come, so ask in a worker thread.

    Args:
        scorer: the model.
        reasons: reason columns per row.
        fork: gives the rows their behaviour features, where the model has any.
        pressed: whether others want the processor, so that less is to be done at once.

    Attributes:
        familiarity: of the rows so far.
    """

    def __init__(
        self,
        scorer: Scorer,
        reasons: int,
        fork: StateFork | None = None,
        pressed: Callable[[], bool] = lambda: False,
    ) -> None:
        self._scorer = scorer
        self._many: Scorer | None = None
        self._reasons = reasons
        self._fork, self._pressed = fork, pressed
        form = scorer.schema.file
        self._splitter = CsvSplitter("the body", form, numbers=self._numbers)
        self._decoder = Utf8Decoder(form.encoding, "the body")
        self._mask = CardMask(scorer.schema.trusted)
        self._begun = False
        self.familiarity = Familiarity(scorer.schema, scorer.vocabulary)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the upload, give those of the result that are ready, in parts.

        Raises:
            InvalidInput: no usable header, or a record that does not end.
            Refused: a column is missing.
        """
        yield from self._scored(self._splitter.feed(self._decoder.decode(data)))

    def finish(self) -> Iterator[bytes]:
        """The rest of the result; raises as :meth:`feed`."""
        self._decoder.finish()
        yield from self._scored(self._splitter.finish())
        if not self._begun:  # a header and no row
            header = self._splitter.header or []
            yield self._write(Chunk(pl.DataFrame(schema=dict.fromkeys(header, pl.String)), np.empty(0, np.int64)))

    def _scored(self, chunks: Iterable[Chunk]) -> Iterator[bytes]:
        skip = self._scorer.schema.file.skip
        for chunk in chunks:
            rest: Chunk | None = without_skipped(chunk, skip)
            while rest is not None:
                part, rest = split(rest, _FEW) if self._pressed() else (rest, None)
                yield self._write(part)

    def _numbers(self, header: list[str]) -> frozenset[str]:
        schema = self._scorer.schema
        return frozenset() if schema.file.skip else plain_fields(schema.of_table(header))

    def _write(self, chunk: Chunk) -> bytes:
        if not self._begun:
            self._check_header(chunk.frame.columns)
        if self._many is None and chunk.frame.height >= _MANY:
            self._many = for_many(self._scorer)
        scorer, schema, delimiter = self._many or self._scorer, self._scorer.schema, self._splitter.delimiter
        header, self._begun = not self._begun, True
        parsed = parse_rows(schema, chunk.frame)
        if not surely_plain(parsed) and (text := chunk.as_text()) is not chunk:
            chunk = text
            parsed = parse_rows(schema, chunk.frame)
        behaviour = None
        if self._fork is not None:
            parsed, behaviour = self._fork.take(parsed)
        batch = parsed.batch(self._scorer.vocabulary)
        self.familiarity.look(batch.categorical)
        batch = batch if behaviour is None else batch.with_behaviour(behaviour)
        further = _named(scored_columns(scorer, batch, self._reasons))
        plain = parsed.good.all() and not chunk.broken and self._shown(chunk)
        if plain and (lines := widened_lines(chunk.text, further, delimiter)):
            head = csv_bytes(chunk.frame.clear().hstack(further.clear()), header=True, delimiter=delimiter)
            return head + lines if header else lines
        scored = annotated(chunk.as_text(), parsed, further)
        texts = [name for name, kind in scored.schema.items() if kind == pl.String]
        frame = self._mask.hide(withheld(scored, hashed_fields(schema)), texts)
        return csv_bytes(frame, header=header, delimiter=delimiter)

    def _shown(self, chunk: Chunk) -> bool:
        """Whether every cell of a chunk whose rows are all good may be shown as it stands."""
        schema = self._scorer.schema
        own = withheld(chunk.frame, hashed_fields(schema))
        return bool(chunk.text) and self._mask.hide(own, unchecked_columns(schema, own.columns)) is chunk.frame

    def _check_header(self, columns: list[str]) -> None:
        schema = self._scorer.schema
        missing = missing_fields(schema.of_table(columns), schema.inputs, columns)
        if missing:
            raise Refused(
                "invalid-csv",
                f"the header lacks {len(missing)} of the {len(schema.fields)} columns of the schema",
                [FieldProblem(field=name, message="missing column") for name in missing],
            )
        if any(contains_card_number(name) for name in columns):
            raise Refused("invalid-csv", "a column name looks like a card number")
        require_free_names(columns, (*added_columns(self._reasons), ERROR))


def annotated(chunk: Chunk, parsed: ParsedRows, further: pl.DataFrame) -> pl.DataFrame:
    """All of a chunk's records in order: its columns, those of scoring, and ``error``.

    Args:
        parsed: what parsing says of the chunk's rows.
        further: the columns of scoring, and ``error``, of the good ones.
    """
    scored = chunk.frame.filter(pl.Series(parsed.good)).hstack(further)
    if not (parsed.errors or chunk.broken):
        return scored
    refused = chunk.frame.filter(pl.Series(~parsed.good)).with_columns(
        pl.Series(ERROR, [_text(error) for error in at_lines(parsed.errors, chunk.lines)], pl.String)
    )
    broken = pl.DataFrame({ERROR: pl.Series([_text(error) for error in chunk.broken], dtype=pl.String)})
    lines = np.concatenate([chunk.lines[parsed.good], chunk.lines[~parsed.good], [error.row for error in chunk.broken]])
    rows = pl.concat([scored, refused, broken], how="diagonal")
    return rows[np.argsort(lines, kind="stable")]


def _named(columns: list[pl.Series]) -> pl.DataFrame:
    """The columns of scoring, with an ``error`` that is empty."""
    names = added_columns(len(columns) - len(added_columns(0)))
    further = pl.DataFrame([column.alias(name) for column, name in zip(columns, names, strict=True)])
    return further.with_columns(pl.lit(None, pl.String).alias(ERROR))


def _text(error: RowError) -> str:
    column = f", column {error.column}" if error.column else ""
    return f"line {error.row}{column}: {error.cause}"


def split(chunk: Chunk, rows: int) -> tuple[Chunk, Chunk | None]:
    """The first so many rows, with what is broken among them, and the rest; None where that is all."""
    if chunk.frame.height <= rows:
        return chunk, None
    begin, end = int(chunk.lines[rows]), 0
    for _ in range(rows if chunk.text else 0):
        end = chunk.text.index(b"\n", end) + 1
    early, late = (tuple(one for one in chunk.broken if (one.row < begin) == wanted) for wanted in (True, False))
    frame, lines, text = chunk.frame, chunk.lines, chunk.text
    first = replace(chunk, frame=frame.head(rows), lines=lines[:rows], broken=early, text=text[:end])
    return first, replace(chunk, frame=frame.slice(rows), lines=lines[rows:], broken=late, text=text[end:])
