"""States made from the log: all of them from nothing, or those of the saved ones that lack events of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.recording.state_bytes import to_state
from app.store.contract import Store
from app.store.records import LogColumns, Origin, View, Writes
from models.behaviour import layout as L
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, replay_entity
from models.schema import Column, NumericColumn, TimestampColumn, TransactionSchema


def rebuild(store: Store, schema: TransactionSchema, origin: Origin) -> dict[EntityKey, State]:
    """The states of all entities that the log names, from it and the base alone: what the live ones must be."""
    states: dict[EntityKey, State] = {}
    behaviour = Behaviour(schema)
    for changed, _, _ in replay_log(
        store, schema, behaviour, origin, partial(read_base, store, origin.spec), store.compacted()
    ):
        states |= changed
    return states


def read_base(store: Store, spec: str, keys: list[EntityKey]) -> dict[EntityKey, Known]:
    """What the base holds of entities.

    Raises:
        OtherStates: it was made under another declaration than ``spec``.
    """
    found = store.base_states(keys)
    return {key: Known(0, to_state(content, spec)) for key, content in found.items()}


def read_saved(store: Store, spec: str, keys: list[EntityKey]) -> dict[EntityKey, Known]:
    """The saved states of entities, each with the last event in it.

    Raises:
        OtherStates: one was made under another declaration than ``spec``.
    """
    found: dict[EntityKey, Known] = {}

    def read(view: View) -> Writes:
        for key, saved in view.states.items():
            found[key] = Known(saved.seq, to_state(saved.content, spec))
        return Writes()

    store.transact([], keys, 0, read)
    return found


def replay_log(
    store: Store,
    schema: TransactionSchema,
    behaviour: Behaviour,
    origin: Origin,
    read: Callable[[list[EntityKey]], dict[EntityKey, Known]],
    after: int,
    parts: Iterable[LogColumns] | None = None,
) -> Iterator[tuple[dict[EntityKey, State], dict[EntityKey, int], int]]:
    """Apply the log after a place to the states, chunk by chunk.

    Args:
        read: the states to begin with; an entity without one begins anew.
        after: events up to here are in every state that ``read`` gives; of later ones, those it says are in it.
        parts: the stretches of the log after that place; all by default.

    Yields:
        The changed states, the first event that changed each, and how many events were read.
    """
    known: dict[EntityKey, Known] = {}
    for part in store.log_columns(after) if parts is None else parts:
        time, seq = np.array(part.times, np.int64), np.array(part.seqs, np.int64)
        counted = np.flatnonzero(counts(origin, seq, time))
        events = (
            events_of(schema, behaviour, [part.bodies[i] for i in counted.tolist()], time[counted])
            if len(counted)
            else []
        )
        labelled = [(e, d) for e in part.labels if e.change and (d := store.find(e.transaction_id)) is not None]
        keys = {(one.name, digest) for one in events for digest in one.digests}
        keys |= {key for _, decision in labelled for key in decision.keys}
        known |= read(sorted(key for key in keys if key not in known))
        first: dict[EntityKey, int] = {}
        changed = _advanced(behaviour, events, seq[counted], known, first)
        for label, decision in labelled:
            for entity in behaviour.entities:
                for key in decision.keys:
                    state = changed.get(key, known[key].state if key in known else None)
                    if key[0] == entity.name and state is not None and label.seq > known.get(key, _NOTHING).seq:
                        changed[key] = state.copy()
                        relabel(changed[key], entity.plan, decision.time, label.change)
                        first[key] = min(first.get(key, label.seq), label.seq)
        known |= {key: Known(known.get(key, _NOTHING).seq, state) for key, state in changed.items()}
        yield changed, first, len(seq) + len(part.labels)


@dataclass(frozen=True, slots=True)
class Known:
    """A state, and the last event in it."""

    seq: int
    state: State


#: Of an entity that nothing is known of.
_NOTHING = Known(0, np.empty(0, np.int64))


def counts(origin: Origin, seq: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which transactions of the log, by their places and times, the base does not hold already."""
    return (seq > origin.seq) | (time > (L.NEVER if origin.as_of is None else origin.as_of))


def _advanced(
    behaviour: Behaviour,
    all_events: list[EntityEvents],
    seq: NDArray[np.int64],
    known: dict[EntityKey, Known],
    first: dict[EntityKey, int],
) -> dict[EntityKey, State]:
    """The states after these events, each entity's only those that its state does not hold."""
    if not len(seq):
        return {}
    states: dict[EntityKey, State] = {}

    def before(key: EntityKey) -> State | None:
        return known[key].state if key in known else None

    for entity, events in zip(behaviour.entities, all_events, strict=True):
        held = np.array([known.get((entity.name, digest), _NOTHING).seq for digest in events.digests], np.int64)
        rows = np.flatnonzero(seq > held[events.group])
        some = replace(events, group=events.group[rows], events=events.events[rows])
        _, _, after = replay_entity(entity, some, before=before, keep=True)
        present, at = np.unique(some.group, return_index=True)
        for group, row in zip(present.tolist(), at.tolist(), strict=True):
            key = (entity.name, events.digests[group])
            states[key] = after[key]
            first.setdefault(key, int(seq[rows[row]]))
    return states


def events_of(
    schema: TransactionSchema, behaviour: Behaviour, bodies: Sequence[str], time: NDArray[np.int64]
) -> list[EntityEvents]:
    """The events of recorded transactions, from their bodies."""
    types: dict[str, pl.DataType] = {name: _type(schema.columns[name]) for name in schema.inputs}
    rows = pl.Series(bodies, dtype=pl.String).str.json_decode(pl.Struct(types)).struct.unnest()
    numeric = rows.select(pl.col(name).fill_null(math.nan) for name in schema.sent_numeric).to_numpy()
    return behaviour.of_columns(
        time,
        numeric.astype(np.float64).reshape(len(time), len(schema.sent_numeric)),
        [rows[name] for name in schema.categorical],
        {name: rows[name] for name in schema.entities},
    )


def _type(column: Column) -> pl.DataType:
    if isinstance(column, NumericColumn):
        return pl.Float64()
    return pl.Int64() if isinstance(column, TimestampColumn) else pl.String()
