"""Bring the states up to the log: at a start, after a change of the declaration, or from nothing to check them."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.recording.live_states import LiveStates
from app.store.contract import Store
from app.store.errors import BegunMeanwhile
from app.store.records import LogColumns, Origin, View, Writes
from models.behaviour import layout as L
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, packed, replay_entity
from models.behaviour.snapshot import Snapshot
from models.behaviour.state_fork import Lookup
from models.bundle import read_states
from models.errors import InvalidInput
from models.manifest import STATES
from models.schema import Column, NumericColumn, TimestampColumn, TransactionSchema
from models.scorer import Scorer


@dataclass(frozen=True)
class Recovered:
    """What a start found.

    Attributes:
        events: events of the log that were replayed.
        base: entities taken from the version's snapshot; 0 where the states were there already.
        rebuilt: whether the states had to be made anew, because the declaration had changed.
        older: whether the states began with another version's, or with history that was loaded.
        uncounted: events of the log that a shared store's new states lack; it is not replayed.
    """

    events: int
    base: int
    rebuilt: bool
    older: bool = False
    uncounted: int = 0


def recover(store: Store, scorer: Scorer, live: LiveStates, pseudonyms: Pseudonyms = NO_PSEUDONYMS) -> Recovered:
    """Fill ``live`` with every state that the store's saved ones lack events of.

    A store without states, or with those of another declaration, begins anew: from the snapshot beside the model, and
    of the log what is later than the snapshot. Where another process does so at the same time, this one goes on with
    what that began.

    Raises:
        InvalidInput: the store's ids are under other pseudonyms.
    """
    behaviour = Behaviour(scorer.schema)
    origin = begun = store.origin()
    base = 0
    rebuilt = False
    digest = scorer.manifest.files.get(STATES, "")
    if store.last_seq() or (origin is not None and origin.base != digest):
        require_pseudonyms(origin, pseudonyms)
    elif origin is not None and origin.pseudonyms != pseudonyms.fingerprint:
        origin = None  # nothing was recorded or loaded yet
    if origin is None or origin.spec != behaviour.spec:
        snapshot = snapshot_of(scorer)
        rebuilt = origin is not None and store.last_seq() > 0
        as_of = snapshot.as_of if snapshot else None
        origin = Origin(behaviour.spec, digest, as_of, store.last_seq(), pseudonyms.fingerprint)
        states = pseudonyms.states(behaviour, snapshot.states) if snapshot else {}
        base = len(states)
        try:
            store.begin(origin, ((key, state.tobytes()) for key, state in states.items()), begun)
        except BegunMeanwhile:
            return recover(store, scorer, live, pseudonyms)
    older = bool(behaviour) and origin.base != digest
    if not behaviour or store.shared:
        return Recovered(0, base, rebuilt, older, origin.seq if rebuilt else 0)
    events = 0
    read = partial(read_saved, store)
    for states, first_seq, count in replay_log(store, scorer.schema, behaviour, origin, read, store.watermark()):
        live.put(states, first_seq)
        events += count
    return Recovered(events, base, rebuilt, older)


def snapshot_of(scorer: Scorer) -> Snapshot | None:
    """The states that training left beside a version, None where its schema has no behaviour features."""
    content = read_states(scorer.bundle.path)
    return None if content is None else Snapshot.from_bytes(content, Behaviour(scorer.schema), name=STATES)


def live_states(store: Store, schema: TransactionSchema, pseudonyms: Pseudonyms = NO_PSEUDONYMS) -> Lookup:
    """What a running service holds in memory, read from its store: saved states and the log since then.

    Raises:
        InvalidInput: the store is empty, or its states are of another declaration or under other pseudonyms.
    """
    behaviour, origin = Behaviour(schema), store.origin()
    if origin is None:
        raise InvalidInput("the store holds no states yet: the service makes them when it starts")
    require_pseudonyms(origin, pseudonyms)
    if origin.spec != behaviour.spec:
        raise InvalidInput("the live states belong to a model with other [entity] sections; use --state snapshot")
    read = partial(read_saved, store)
    changed: dict[EntityKey, State] = {}
    for states, _, _ in replay_log(store, schema, behaviour, origin, read, store.watermark()):
        changed |= states

    def lookup(keys: Sequence[EntityKey]) -> dict[EntityKey, State]:
        later = {key: changed[key] for key in keys if key in changed}
        return later | {key: known.state for key, known in read([k for k in keys if k not in later]).items()}

    return lookup


def require_pseudonyms(origin: Origin | None, pseudonyms: Pseudonyms) -> None:
    """Check that a store's ids are under these pseudonyms.

    Raises:
        InvalidInput: they are not.
    """
    if origin is not None and origin.pseudonyms != pseudonyms.fingerprint:
        raise InvalidInput(
            "the store's ids were recorded under another COUNTERFOIL_PSEUDONYMISE or another secret; set both as they "
            "were, or begin a new store: name another COUNTERFOIL_DATABASE_URL and load history with 'counterfoil warm'"
        )


def rebuild(store: Store, schema: TransactionSchema, origin: Origin) -> dict[EntityKey, State]:
    """The states of all entities that the log names, from it and the base alone: what the live ones must be."""
    states: dict[EntityKey, State] = {}
    behaviour = Behaviour(schema)
    for changed, _, _ in replay_log(store, schema, behaviour, origin, partial(_read_base, store), store.compacted()):
        states |= changed
    return states


def compacted_part(
    store: Store, schema: TransactionSchema, origin: Origin, after: int, until: int, chunk: int = 1_000
) -> tuple[dict[EntityKey, bytes], int]:
    """What the base becomes with the next events of the log in it.

    Args:
        after: the last event that is in it.
        until: the last that is to be.

    Returns:
        The states that change, and the last event in them.
    """
    part = next(store.log_columns(after, chunk), None)
    part = None if part is None else _until(part, until)
    if part is None or not (part.seqs or part.labels):
        return {}, until
    behaviour = Behaviour(schema)
    entities = {entity.name: entity for entity in behaviour.entities}
    changed, _, _ = next(replay_log(store, schema, behaviour, origin, partial(_read_base, store), after, [part]))
    last = max([*part.seqs[-1:], *(label.seq for label in part.labels[-1:])])
    return {key: packed(entities[key[0]], state).tobytes() for key, state in changed.items()}, last


def _until(part: LogColumns, last: int) -> LogColumns:
    """The events of a stretch up to a place."""
    end = bisect_right(part.seqs, last)
    labels = [label for label in part.labels if label.seq <= last]
    return LogColumns(part.seqs[:end], part.transaction_ids[:end], part.times[:end], part.bodies[:end], labels)


def _read_base(store: Store, keys: list[EntityKey]) -> dict[EntityKey, _Known]:
    found = store.base_states(keys)
    return {key: _Known(0, np.frombuffer(content, np.int64)) for key, content in found.items()}


def read_saved(store: Store, keys: list[EntityKey]) -> dict[EntityKey, _Known]:
    """The saved states of entities, each with the last event in it."""
    found: dict[EntityKey, _Known] = {}

    def read(view: View) -> Writes:
        for key, saved in view.states.items():
            found[key] = _Known(saved.seq, np.frombuffer(saved.content, np.int64))
        return Writes()

    store.transact([], keys, 0, read)
    return found


def replay_log(
    store: Store,
    schema: TransactionSchema,
    behaviour: Behaviour,
    origin: Origin,
    read: Callable[[list[EntityKey]], dict[EntityKey, _Known]],
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
    known: dict[EntityKey, _Known] = {}
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
        known |= {key: _Known(known.get(key, _NOTHING).seq, state) for key, state in changed.items()}
        yield changed, first, len(seq) + len(part.labels)


@dataclass(frozen=True, slots=True)
class _Known:
    seq: int
    state: State


_NOTHING = _Known(0, np.empty(0, np.int64))


def counts(origin: Origin, seq: NDArray[np.int64], time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which transactions of the log, by their places and times, the base does not hold already."""
    return (seq > origin.seq) | (time > (L.NEVER if origin.as_of is None else origin.as_of))


def _advanced(
    behaviour: Behaviour,
    all_events: list[EntityEvents],
    seq: NDArray[np.int64],
    known: dict[EntityKey, _Known],
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
