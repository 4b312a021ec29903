"""Behaviour features of a table of any size: for each kind of entity, the rows brought together and run in order.

Each pass sends the rows to where their entity is, sorted by it and by time, and streams them through the kernel: what
a task holds is one batch and one entity's state, however many events the entity has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import BinaryType, StructType

from models.behaviour.events import Behaviour
from models.behaviour.replay import State
from models.behaviour.stream import EntityStream, keys_of
from models.schema import TransactionSchema
from spark.columns import (
    DOUBLES,
    KNOWN,
    ROW,
    STATE,
    STATES,
    TIME,
    arrays,
    batch_of,
    event,
    features,
    key,
    lists,
    plain,
    with_fields,
)

#: Bytes of states that are handed on together.
_STATE_BYTES = 8 << 20


def with_features(events: DataFrame, schema: TransactionSchema, begins: DataFrame | None = None) -> DataFrame:
    """Rows of :meth:`spark.rows.Parsing.events` with a column :func:`spark.columns.features` for each
    kind of entity.

    Args:
        begins: the states that entities begin with, :data:`spark.columns.STATES`; None: all are new.
    """
    for i, _ in enumerate(schema.entity):
        struct = with_fields(events.schema, **{features(i): DOUBLES})
        events = _together(events, schema, i, begins).mapInArrow(_Features(schema, i, struct), struct)
    return events


def states_after(events: DataFrame, schema: TransactionSchema, begins: DataFrame | None = None) -> DataFrame:
    """The states after the last of these rows, those that had none of them included: :data:`spark.columns.STATES`."""
    every: DataFrame | None = None
    for i, _ in enumerate(schema.entity):
        narrow = events.select(ROW, TIME, KNOWN, key(i), event(i))
        after = _together(narrow, schema, i, begins).mapInArrow(_States(schema, i), STATES)
        every = after if every is None else every.unionByName(after)
    assert every is not None
    return every


def told_apart(events: DataFrame, schema: TransactionSchema) -> DataFrame:
    """The rows with a column for each feature, by its name, in place of all that only travelled with them."""
    behaviour = Behaviour(schema)
    return events.select(
        *(f"`{name}`" for name in plain(events.columns)),
        *(
            F.col(features(i))[place].alias(f"{entity.name}.{feature.name.partition('.')[2]}")
            for i, entity in enumerate(behaviour.entities)
            for place, feature in enumerate(schema.behaviour[entity.out])
        ),
    )


def _together(events: DataFrame, schema: TransactionSchema, i: int, begins: DataFrame | None) -> DataFrame:
    """The rows by entity and time, each entity's state before its first row."""
    if begins is None:
        rows = events.withColumn(STATE, F.lit(None).cast(BinaryType()))
    else:
        mine = begins.filter(F.col("entity") == list(schema.entity)[i])
        mine = mine.select(F.col("key").alias(key(i)), F.col("state").alias(STATE))
        rows = events.unionByName(mine, allowMissingColumns=True)
    return rows.repartition(key(i)).sortWithinPartitions(key(i), TIME, ROW)


class _Part:
    """A batch of :func:`_together`, as the kernel takes it."""

    def __init__(self, batch: pa.RecordBatch, i: int) -> None:
        state = batch.column(STATE)
        self.is_event = state.is_null()
        self.events = batch if state.null_count == len(batch) else batch.filter(self.is_event)
        is_state = state.is_valid()
        self.begins: dict[bytes, State] = {
            digest: np.frombuffer(content, "<i8").astype(np.int64)
            for digest, content in zip(
                batch.column(key(i)).filter(is_state).to_pylist(), state.filter(is_state).to_pylist(), strict=True
            )
        }
        self.keys = keys_of(self.events.column(key(i)).to_pylist())
        self.numbers = arrays(self.events.column(event(i)))
        known = self.events.column(KNOWN)
        self.known = None if known.null_count else known.to_numpy(zero_copy_only=False)


@dataclass(frozen=True)
class _Features:
    schema: TransactionSchema
    entity: int
    struct: StructType

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        stream = EntityStream(Behaviour(self.schema).entities[self.entity])
        for batch in batches:
            part = _Part(batch, self.entity)
            found, _ = stream.take(part.keys, part.numbers, part.known, part.begins)
            columns = [part.events.column(name) for name in self.struct.names[:-1]]
            yield batch_of(self.struct, [*columns, lists(found)])


@dataclass(frozen=True)
class _States:
    schema: TransactionSchema
    entity: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        behaviour = Behaviour(self.schema)
        entity = behaviour.entities[self.entity]
        ended: list[tuple[bytes, bytes]] = []

        def told() -> pa.RecordBatch:
            rows = len(ended)
            keys, states = zip(*ended, strict=True)
            ended.clear()
            columns = [pa.array([behaviour.spec] * rows), pa.array([entity.name] * rows)]
            return batch_of(STATES, [*columns, pa.array(keys, pa.binary()), pa.array(states, pa.binary())])

        held = 0

        def keep(digest: bytes, state: State) -> None:
            nonlocal held
            ended.append((digest, state.astype("<i8").tobytes()))
            held += state.nbytes

        stream = EntityStream(entity, keep)
        for batch in batches:
            part = _Part(batch, self.entity)
            stream.take(part.keys, part.numbers, part.known, part.begins)
            if held >= _STATE_BYTES:
                held = 0
                yield told()
        stream.finish()
        if ended:
            yield told()
