"""Transactions as the events that the kernel takes: whole numbers, the same from one row and from columns."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour.keys import EntityKey, key_digest
from models.behaviour.plan import plan_of
from models.behaviour.spec import EntityBehaviour
from models.schema import TransactionSchema

#: What a transaction is to one entity: as :func:`models.behaviour.kernel.advance` takes it.
Event = tuple[EntityKey, NDArray[np.int64]]
_DEGREES = 1e7
#: Part of a declaration's digest: raise it when :mod:`models.behaviour.layout` changes, and states are made anew.
_STATE_FORMAT = 2


def value_code(value: str) -> int:
    """The 64-bit number that stands for a text value."""
    return int.from_bytes(hashlib.blake2b(value.encode(), digest_size=8).digest(), "little", signed=True)


def minor_units(amount: NDArray[np.float64], digits: int) -> NDArray[np.int64]:
    """Amounts in whole minor units, missing ones 0; halves go to the even one."""
    return np.rint(np.nan_to_num(amount) * 10.0**digits).astype(np.int64)


def packed_place(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places to 1e-7 degrees as one number; ``layout.NO_PLACE`` where a coordinate is missing."""
    missing = np.isnan(latitude) | np.isnan(longitude)
    north = np.rint(np.nan_to_num(latitude) * _DEGREES).astype(np.int64) + 900_000_000
    east = np.rint(np.nan_to_num(longitude) * _DEGREES).astype(np.int64) + 1_800_000_000
    return np.where(missing, L.NO_PLACE, north << 32 | east)


def _minor_units_of_one(amount: float, digits: int) -> int:
    """:func:`minor_units`, which is slow for one."""
    return 0 if math.isnan(amount) else round(amount * 10.0**digits)


def _place_of_one(latitude: float, longitude: float) -> int:
    """:func:`packed_place`, which is slow for one."""
    if math.isnan(latitude) or math.isnan(longitude):
        return L.NO_PLACE
    return (round(latitude * _DEGREES) + 900_000_000) << 32 | (round(longitude * _DEGREES) + 1_800_000_000)


@dataclass(frozen=True)
class EntityEvents:
    """The events of one kind of entity.

    Attributes:
        name: the section, e.g. ``card``.
        group: int64 [n], which entity each event belongs to, from 0.
        digests: the key digest of each entity.
        events: int64 [n, 4 + code columns], as :func:`models.behaviour.kernel.advance` takes them.
        known: int64 [n], microseconds since when it was known that an event is fraud; None: with the event itself.
    """

    name: str
    group: NDArray[np.int64]
    digests: list[bytes]
    events: NDArray[np.int64]
    known: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Entity:
    """One section of the profile, ready to run: its plan, and where its features stand among all of behaviour."""

    name: str
    behaviour: EntityBehaviour
    plan: NDArray[np.int64]
    out: slice


class Behaviour:
    """The behaviour features of a schema.

    Attributes:
        entities: the sections in order.
        timestamp: name of the column that orders the events.
        width: number of features.
        calendar: whether the times of events can be compared with a clock.
        spec: digest of the declaration, with the columns that amounts and times come from: states made under another
            one mean something else.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self._schema = schema
        self.timestamp = schema.timestamp or ""
        self.calendar = bool(schema.entity) and not schema.elapsed
        self._numeric = {name: i for i, name in enumerate(schema.sent_numeric)}
        self._text = {name: i for i, name in enumerate(schema.categorical)}
        entities, start = [], 0
        for name, behaviour in schema.entity.items():
            end = start + len(behaviour.derived)
            entities.append(Entity(name, behaviour, plan_of(behaviour, schema.minor_digits), slice(start, end)))
            start = end
        self.entities = tuple(entities)
        self.width = start
        told = schema.minor_digits, schema.amount, schema.timestamp, schema.elapsed
        declared = {name: (behaviour.model_dump_json(), *told) for name, behaviour in schema.entity.items()}
        self.spec = hashlib.sha256(repr((_STATE_FORMAT, declared)).encode()).hexdigest()

    def __bool__(self) -> bool:
        return bool(self.entities)

    def of_row(self, row: Mapping[str, Any]) -> list[Event]:
        """One validated transaction's event for each of its entities.

        Args:
            row: value by column name; times in microseconds, missing numbers NaN, missing categories None.
        """
        schema = self._schema
        amount = _minor_units_of_one(row[schema.amount], schema.minor_digits) if schema.amount else 0
        found = []
        for entity in self.entities:
            behaviour = entity.behaviour
            place = L.NO_PLACE
            if behaviour.uses_place:
                latitude, longitude = behaviour.place
                place = _place_of_one(row[latitude], row[longitude])
            codes = [value_code(row[name] or "") for name in behaviour.code_columns]
            event = np.array([row[schema.timestamp or ""], amount, 0, place, *codes], np.int64)
            found.append(((entity.name, key_digest(row[behaviour.key])), event))
        return found

    def of_columns(
        self,
        time: NDArray[np.int64],
        numeric: NDArray[np.float64],
        text: Sequence[pl.Series],
        entity: Mapping[str, pl.Series],
        fraud: NDArray[np.bool_] | None = None,
        known: NDArray[np.int64] | None = None,
    ) -> list[EntityEvents]:
        """Many transactions' events for each kind of entity, row for row as :meth:`of_row`.

        Args:
            time: int64 [n], microseconds.
            numeric: float64 [n, sent numeric features].
            text: the categorical columns in the schema's order.
            entity: the entity columns by name.
            fraud: bool [n], labelled fraud; None without labels.
            known: int64 [n], microseconds since when the label was known; None: as soon as the label delay is over.
        """
        schema, rows = self._schema, len(time)
        columns = {**entity, **{name: text[i] for name, i in self._text.items()}}
        amount = np.zeros(rows, np.int64)
        if schema.amount:
            amount = minor_units(numeric[:, self._numeric[schema.amount]], schema.minor_digits)
        codes: dict[str, NDArray[np.int64]] = {}
        found = []
        for entity_ in self.entities:
            behaviour = entity_.behaviour
            events = np.empty((rows, L.E_CODES + len(behaviour.code_columns)), np.int64)
            events[:, L.E_TIME] = time
            events[:, L.E_AMOUNT] = amount
            events[:, L.E_FRAUD] = 0 if fraud is None else fraud
            events[:, L.E_PLACE] = L.NO_PLACE
            if behaviour.uses_place:
                events[:, L.E_PLACE] = packed_place(*(numeric[:, self._numeric[name]] for name in behaviour.place))
            for i, name in enumerate(behaviour.code_columns):
                if name not in codes:
                    group, values = grouped(columns[name])
                    codes[name] = np.array([value_code(value) for value in values], np.int64)[group]
                events[:, L.E_CODES + i] = codes[name]
            group, values = grouped(columns[behaviour.key])
            found.append(EntityEvents(entity_.name, group, [key_digest(value) for value in values], events, known))
        return found


def grouped(column: pl.Series) -> tuple[NDArray[np.int64], list[str]]:
    """Which of the distinct values each cell holds [n], and the values; a missing cell is ""."""
    cells = column.fill_null("").alias("value").to_frame()
    values = cells.unique(maintain_order=True)
    numbered = values.with_row_index("group")
    group = cells.join(numbered, on="value", how="left", maintain_order="left")["group"].to_numpy().astype(np.int64)
    return group, values["value"].to_list()
