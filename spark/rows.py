"""The rows of a table, parsed where they lie: what the kernel and the detector take of each, or why it is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, LongType, StructType
from pyspark.sql.utils import AnalysisException

from models.annotate import CardMask, hashed_fields, withheld
from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.events import Behaviour
from models.clock import AHEAD
from models.errors import InvalidInput
from models.parsing import parse_rows, require_columns
from models.rows import ParsedRows, Vocabulary
from models.schema import TransactionSchema
from spark.columns import (
    CATEGORICAL,
    DOUBLES,
    KNOWN,
    LONGS,
    NUMERIC,
    OWN,
    REJECTS,
    ROW,
    TIME,
    batch_of,
    event,
    key,
    lists,
    with_fields,
)

#: Rows that a file may have, so that its number and a row's make one.
_MOST_ROWS = 1 << 40
_PATH, _PLACE = f"{OWN}path", f"{OWN}place"


def read(session: SparkSession, sources: Sequence[str]) -> tuple[DataFrame, list[str]]:
    """The rows of Parquet files, as Spark finds them by names, folders or globs, with :data:`spark.columns.ROW`.

    Returns:
        The rows, numbered in the order of the files' names as one machine would read them; and those names.

    Raises:
        InvalidInput: Spark finds or reads no such files.
    """
    try:
        table = session.read.parquet(*sources)
        files = sorted(found[0] for found in table.select("_metadata.file_path").distinct().collect())
    except AnalysisException:
        raise InvalidInput(
            f"{', '.join(sources)}: no Parquet that Spark can read; it reads files, folders and globs"
        ) from None
    taken = [name for name in table.columns if name.startswith(OWN)]
    if taken:
        raise InvalidInput(f"column {taken[0]}: such names are used on the way; rename or remove yours")
    places = session.createDataFrame(list(enumerate(files)), f"{_PLACE} long, {_PATH} string")
    numbered = table.select("*", F.col("_metadata.file_path").alias(_PATH), F.col("_metadata.row_index").alias(ROW))
    numbered = numbered.join(F.broadcast(places), _PATH).withColumn(ROW, F.col(_PLACE) * _MOST_ROWS + F.col(ROW))
    return numbered.drop(_PATH, _PLACE), files


def place_of(row: int, files: list[str]) -> tuple[str, int]:
    """The file of a row of :func:`read`, and its number in it, from 1."""
    return files[row // _MOST_ROWS], row % _MOST_ROWS + 1


@dataclass(frozen=True)
class Parsing:
    """What rows must be.

    Attributes:
        schema: with what it hashes keys with, if anything.
        latest: microseconds; later rows are refused. None: whatever their time.
        earliest: microseconds; what is earlier cannot go on from the states that there are. None: all can.
        vocabulary: of a model that scores the rows; None: they are not scored.
    """

    schema: TransactionSchema
    latest: int | None = None
    earliest: int | None = None
    vocabulary: Vocabulary | None = None

    def rejects(self, table: DataFrame) -> DataFrame:
        """The rows that cannot be used: :data:`spark.columns.REJECTS`, never a value."""
        self._check(table)
        return table.mapInArrow(_Rejecting(self), REJECTS)

    def events(self, table: DataFrame) -> DataFrame:
        """The good rows with what they are to each entity, and to the detector.

        Card numbers in columns that the schema does not name are withheld, and so are keys that are hashed: neither is
        in what Spark writes to disks between two stages.
        """
        self._check(table)
        fields = dict.fromkeys([TIME, KNOWN], LongType())
        for i, _ in enumerate(self.schema.entity):
            fields |= {key(i): BinaryType(), event(i): LONGS}
        if self.vocabulary is not None:
            fields |= {NUMERIC: DOUBLES, CATEGORICAL: LONGS}
        struct = with_fields(table.schema, **fields)
        return table.mapInArrow(_Parsing(self, struct), struct)

    def _check(self, table: DataFrame) -> None:
        require_columns(self.schema, table.columns, source="the table")

    def parsed(self, batch: pa.RecordBatch) -> tuple[pl.DataFrame, ParsedRows]:
        """The rows of a batch."""
        frame = pl.DataFrame(pl.from_arrow(batch)).drop(ROW)
        parsed = parse_rows(self.schema, frame)
        name = self.schema.columns[self.schema.timestamp].told(self.schema.timestamp) if self.schema.timestamp else ""
        if self.latest is not None:
            parsed = parsed.refuse(parsed.time > self.latest, name, AHEAD)
        if self.earliest is not None:
            cause = f"more than {P.LATEST_SECONDS // 86_400} days before what the states end with: no history"
            parsed = parsed.refuse(parsed.time < self.earliest, name, cause)
        return frame, parsed


@dataclass(frozen=True)
class _Rejecting:
    parsing: Parsing

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            _, parsed = self.parsing.parsed(batch)
            if parsed.errors:
                rows = batch.column(ROW).take(pa.array([error.row for error in parsed.errors]))
                columns = pa.array([error.column for error in parsed.errors])
                yield batch_of(REJECTS, [rows, columns, pa.array([error.cause for error in parsed.errors])])


@dataclass(frozen=True)
class _Parsing:
    parsing: Parsing
    struct: StructType

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        schema, behaviour = self.parsing.schema, Behaviour(self.parsing.schema)
        mask = CardMask(schema.trusted)
        for batch in batches:
            frame, parsed = self.parsing.parsed(batch)
            good = pa.array(parsed.good)
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            columns |= self._hidden(frame, mask, batch)
            found = [column.filter(good) for column in columns.values()]
            rows = len(parsed.time)
            known = np.zeros(rows, np.int64) if parsed.known is None else parsed.known
            found += [pa.array(parsed.time), pa.array(known, mask=np.full(rows, parsed.known is None))]
            entities = behaviour.of_columns(
                parsed.time, parsed.numeric, parsed.text, parsed.entity, parsed.fraud, parsed.known
            )
            for of in entities:
                found += [pa.array(of.digests, pa.binary()).take(pa.array(of.group)), lists(of.events)]
            if self.parsing.vocabulary is not None:
                encoded = parsed.batch(self.parsing.vocabulary)
                found += [lists(encoded.numeric), lists(encoded.categorical)]
            yield batch_of(self.struct, found)

    def _hidden(self, frame: pl.DataFrame, mask: CardMask, batch: pa.RecordBatch) -> dict[str, pa.Array]:
        """The columns that may hold what must not be kept."""
        schema = self.parsing.schema
        checked = {f for name in (*schema.inputs, schema.label) if name for f in schema.columns[name].fields(name)}
        unchecked = [name for name in frame.columns if name not in checked]
        secret = [name for name in hashed_fields(schema) if name in frame.columns]
        hidden = mask.hide(withheld(frame, secret), unchecked)
        return {
            name: hidden[name].to_arrow().cast(batch.schema.field(name).type)
            for name in (*unchecked, *secret)
            if not hidden[name].equals(frame[name])
        }


def earliest_after(newest: int | None) -> int | None:
    """The time from which on rows can go on from states whose newest event is of this time, microseconds."""
    return None if newest in (None, L.NEVER) else newest - P.LATEST_SECONDS * 1_000_000
