"""Scores of a table's rows, by the very graph of the service; the model is sent once to each executor."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import BooleanType, DataType, DoubleType, StringType, StructType

from models.annotate import added_columns, require_free_names, scored_columns
from models.bulk import for_many
from models.rows import Batch
from models.scorer import Scorer
from spark.columns import CATEGORICAL, NUMERIC, TIME, arrays, batch_of, features, plain, with_fields

_TYPES: dict[str, DataType] = {
    "score": DoubleType(),
    "reconstruction_error": DoubleType(),
    "is_anomaly": BooleanType(),
}


@contextmanager
def sent(session: SparkSession, version: Path) -> Iterator[str]:
    """A version's folder as an archive that each executor fetches once, also one that takes a lost one's place.

    Yields:
        What :func:`scored` knows it by. It is gone afterwards: results are written before.
    """
    with tempfile.TemporaryDirectory(prefix="counterfoil-") as folder:
        archive = shutil.make_archive(str(Path(folder) / version.name), "zip", version)
        session.sparkContext.addArchive(archive)
        yield Path(archive).name


def scored(events: DataFrame, scorer: Scorer, archive: str, reasons: int = 0) -> DataFrame:
    """The rows with the columns of :func:`models.annotate.added_columns`, and without all that only travelled.

    Args:
        events: rows of :meth:`spark.rows.Parsing.events`, with features where the model's schema has them.
        scorer: the version; only what it declares is used here.
        archive: from :func:`sent`.

    Raises:
        InvalidInput: a column has the name of one that is added.
    """
    own, added = plain(events.columns), added_columns(reasons)
    require_free_names(own, added)
    kept = StructType([events.schema[name] for name in own])
    struct = with_fields(kept, **{name: _TYPES.get(name, StringType()) for name in added})
    of_behaviour = tuple(features(i) for i, _ in enumerate(scorer.schema.entity))
    travelled = events.select(*(f"`{name}`" for name in own), TIME, NUMERIC, CATEGORICAL, *of_behaviour)
    return travelled.mapInArrow(_Scoring(archive, reasons, of_behaviour, struct), struct)


@dataclass(frozen=True)
class _Scoring:
    archive: str
    reasons: int
    features: tuple[str, ...]
    struct: StructType

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        scorer = _loaded(SparkFiles.get(self.archive))
        added = len(added_columns(self.reasons))
        for batch in batches:
            time = batch.column(TIME).to_numpy()
            rows = Batch(arrays(batch.column(NUMERIC)), arrays(batch.column(CATEGORICAL)), time)
            for name in self.features:
                rows = rows.with_behaviour(arrays(batch.column(name)))
            found = [cells.to_arrow() for cells in scored_columns(scorer, rows, self.reasons)]
            texts = [cells if i < 3 else cells.cast(pa.string()) for i, cells in enumerate(found)]
            yield batch_of(self.struct, [*(batch.column(name) for name in self.struct.names[:-added]), *texts])


@cache
def _loaded(folder: str) -> Scorer:
    """The model as files are scored by it, once in each Python process of an executor."""
    return for_many(Scorer.load(Path(folder)))
