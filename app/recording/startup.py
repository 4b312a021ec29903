"""What a start does: the store begun where it is new, its states brought up to its log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from app.pseudonyms import NO_PSEUDONYMS, Pseudonyms
from app.recording.rebuild import read_base, read_saved, replay_log
from app.recording.state_bytes import to_bytes
from app.recording.state_cache import StateCache
from app.store.contract import Store
from app.store.errors import OTHER_SECTIONS, BegunMeanwhile, OtherStates
from app.store.records import Origin, SavedState
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, packed
from models.behaviour.snapshot import Snapshot
from models.behaviour.state_fork import Lookup
from models.bundle import read_states
from models.errors import InvalidInput
from models.manifest import STATES
from models.schema import TransactionSchema
from models.scorer import Scorer


@dataclass(frozen=True)
class Recovered:
    """What a start found.

    Attributes:
        events: events of the log that were replayed.
        base: entities taken from the version's snapshot; 0 where the states were there already.
        rebuilt: whether the states had to be made anew, because the declaration had changed.
        older: whether the states began with another version's, or with history that was loaded.
    """

    events: int
    base: int
    rebuilt: bool
    older: bool = False


def recover(
    store: Store, scorer: Scorer, states: StateCache, pseudonyms: Pseudonyms = NO_PSEUDONYMS, *, anew: bool = True
) -> Recovered:
    """Fill ``states`` with every state that the store's saved ones lack events of.

    A store without states, or with those of another declaration, begins anew: from the snapshot beside the model, and
    of the log what is later than the snapshot. Where another process does so at the same time, this one goes on with
    what that began.

    Args:
        anew: whether the states that others made from the log of a shared store may be made anew. Not for who joins
            those that serve, or only erases: the others would record nothing from then on.

    Raises:
        InvalidInput: the store's ids are under other pseudonyms.
        OtherStates: they would have to be made anew, and may not.
        StoreInUse: another process makes the states of a shared store anew, or purges it.
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
    try:
        if origin is None or origin.spec != behaviour.spec or origin.building:
            if store.shared and store.last_seq():
                if not anew:
                    raise OtherStates(OTHER_SECTIONS)
                return _made_anew(store, scorer, pseudonyms)
            rebuilt = origin is not None and store.last_seq() > 0
            origin, first = _beginning(scorer, pseudonyms, store.last_seq())
            base = len(first)
            store.begin(origin, _as_bytes(behaviour, first), begun)
    except BegunMeanwhile:
        return recover(store, scorer, states, pseudonyms, anew=anew)
    older = bool(behaviour) and origin.base != digest
    if not behaviour or store.shared:
        return Recovered(0, base, rebuilt, older)
    events = 0
    read = partial(read_saved, store, behaviour.spec)
    for changed, first_seq, count in replay_log(store, scorer.schema, behaviour, origin, read, store.watermark()):
        states.put(changed, first_seq)
        events += count
    return Recovered(events, base, rebuilt, older)


def _made_anew(store: Store, scorer: Scorer, pseudonyms: Pseudonyms) -> Recovered:
    """Make the states of a shared store from its log, while nobody records. Broken off, the same again finishes.

    Raises:
        BegunMeanwhile: another process has begun anew since.
        StoreInUse: another process does the same, or purges.
    """
    behaviour, states, events = Behaviour(scorer.schema), dict[EntityKey, State](), 0
    with store.purging():
        begun = store.origin()
        if begun is not None and begun.spec == behaviour.spec and not begun.building:
            raise BegunMeanwhile("another process has just made the states anew")
        origin, first = _beginning(scorer, pseudonyms, store.last_seq())
        store.begin(replace(origin, building=True), _as_bytes(behaviour, first), begun)
        origin = replace(origin, seq=store.settle())
        read = partial(read_base, store, behaviour.spec)
        for changed, _, count in replay_log(store, scorer.schema, behaviour, origin, read, 0) if behaviour else ():
            states |= changed
            events += count
        entities = {entity.name: entity for entity in behaviour.entities}
        compact = {key: packed(entities[key[0]], state) for key, state in states.items()}
        store.finish(origin, ((key, SavedState(origin.seq, content)) for key, content in _as_bytes(behaviour, compact)))
    return Recovered(events, len(first), rebuilt=True)


def _beginning(scorer: Scorer, pseudonyms: Pseudonyms, last: int) -> tuple[Origin, Mapping[EntityKey, State]]:
    """Where the states of a version begin, and the base: those of its training.

    Args:
        last: event of the log.
    """
    behaviour, snapshot = Behaviour(scorer.schema), snapshot_of(scorer)
    as_of = snapshot.as_of if snapshot else None
    origin = Origin(behaviour.spec, scorer.manifest.files.get(STATES, ""), as_of, last, pseudonyms.fingerprint)
    return origin, pseudonyms.states(behaviour, snapshot.states) if snapshot else {}


def _as_bytes(behaviour: Behaviour, states: Mapping[EntityKey, State]) -> Iterator[tuple[EntityKey, bytes]]:
    return ((key, to_bytes(state, behaviour.spec)) for key, state in states.items())


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
    read = partial(read_saved, store, behaviour.spec)
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
