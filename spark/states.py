"""States that a job begins with: those of an earlier job, or those beside a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType, StructField, StructType
from pyspark.sql.utils import AnalysisException

from models.behaviour import layout as L
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.behaviour.snapshot import Snapshot
from models.bundle import read_states
from models.errors import InvalidInput
from models.manifest import STATES as FILE
from models.schema import TransactionSchema
from spark.columns import STATES, batch_of

_NEWEST = StructType([StructField("newest", LongType())])


def read_earlier(session: SparkSession, folder: str, schema: TransactionSchema) -> DataFrame:
    """The states that :func:`spark.features.states_after` gave, as they were written.

    Raises:
        InvalidInput: none are there, or they were made under another declaration.
    """
    try:
        found = session.read.schema(STATES).parquet(folder)
        specs = {row[0] for row in found.select("spec").distinct().collect()}
    except AnalysisException:
        raise InvalidInput(f"{folder}: no states that Spark can read") from None
    if specs - {Behaviour(schema).spec}:
        raise InvalidInput(f"{folder}: states made under other [entity] sections or columns; make them anew")
    return found


def of_model(session: SparkSession, version: Path, schema: TransactionSchema) -> DataFrame | None:
    """The states in a version's folder, after its last training row; None where it has none."""
    content = read_states(version)
    if content is None:
        return None
    behaviour = Behaviour(schema)
    snapshot = Snapshot.from_bytes(content, behaviour, name=FILE)
    return session.createDataFrame(_table(behaviour.spec, snapshot.states))


def newest(states: DataFrame) -> int | None:
    """The time of the newest event that any of the states has seen, microseconds; None without states."""
    times = states.select("state").mapInArrow(_newest, _NEWEST)
    found: int | None = times.agg(F.max("newest")).collect()[0][0]
    return found


def _newest(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        times = [int(np.frombuffer(state, "<i8", L.NEWEST + 1)[L.NEWEST]) for state in batch.column(0).to_pylist()]
        yield batch_of(_NEWEST, [pa.array(times, pa.int64())])


def _table(spec: str, states: Mapping[EntityKey, State]) -> pa.Table:
    return pa.table(
        {
            "spec": pa.array([spec] * len(states), pa.string()),
            "entity": pa.array([entity for entity, _ in states], pa.string()),
            "key": pa.array([digest for _, digest in states], pa.binary()),
            "state": pa.array([state.astype("<i8").tobytes() for state in states.values()], pa.binary()),
        }
    )
