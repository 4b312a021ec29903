"""Columns that travel beside those of the table, and how they become arrays and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DoubleType,
    LongType,
    StringType,
    StructField,
    StructType,
)

#: What all of them begin with.
OWN = "_counterfoil_"
#: Which row: it orders rows of the same moment, and names rejects. Unique, and the same however often it is computed.
ROW = f"{OWN}row"
TIME, KNOWN, STATE = f"{OWN}time", f"{OWN}known", f"{OWN}state"
NUMERIC, CATEGORICAL = f"{OWN}numeric", f"{OWN}categorical"
LONGS, DOUBLES = ArrayType(LongType(), False), ArrayType(DoubleType(), False)
REJECTS = StructType(
    [StructField("row", LongType()), StructField("column", StringType()), StructField("cause", StringType())]
)
#: What an entity went through. ``spec`` is the declaration's digest, ``key`` that of the entity.
STATES = StructType(
    [
        StructField("spec", StringType()),
        StructField("entity", StringType()),
        StructField("key", BinaryType()),
        StructField("state", BinaryType()),
    ]
)


def key(entity: int) -> str:
    """The column of an entity's key digest."""
    return f"{OWN}key_{entity}"


def event(entity: int) -> str:
    """The column of what a row is to an entity."""
    return f"{OWN}event_{entity}"


def features(entity: int) -> str:
    """The column of an entity's features, an array in the order of the schema."""
    return f"{OWN}features_{entity}"


def plain(columns: Sequence[str]) -> list[str]:
    """The columns that are the table's."""
    return [name for name in columns if not name.startswith(OWN)]


def with_fields(struct: StructType, **fields: DataType) -> StructType:
    """A struct and further fields."""
    return StructType([*struct.fields, *(StructField(name, kind) for name, kind in fields.items())])


def lists(array: NDArray[Any]) -> pa.ListArray:
    """An array [n, k] as n lists of k numbers."""
    rows, width = array.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(array).ravel()))


def arrays(column: pa.ListArray) -> NDArray[Any]:
    """What :func:`lists` was given, [n, k]."""
    numbers: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return numbers.reshape(len(column), len(numbers) // max(len(column), 1))


def batch_of(struct: StructType, columns: Sequence[Any]) -> pa.RecordBatch:
    """Columns in the order of a struct."""
    return pa.RecordBatch.from_arrays(list(columns), names=struct.names)
