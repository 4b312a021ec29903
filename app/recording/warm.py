"""Load history into an empty store, so that the first request already finds its card's past."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.pseudonyms import Pseudonyms
from app.recording.startup import snapshot_of
from app.recording.state_bytes import to_bytes
from app.settings import Settings
from app.store.contract import Store
from app.store.open import open_store
from app.store.records import Origin
from models.behaviour.events import Behaviour
from models.behaviour.replay import replay
from models.behaviour.snapshot import Snapshot
from models.clock import AHEAD, ahead
from models.errors import InvalidInput
from models.scorer import Scorer
from models.state_files import StateFiles
from models.strict_tables import checked_rows


@dataclass(frozen=True)
class Warmed:
    """What the store now begins with.

    Attributes:
        rows: transactions loaded.
        entities: cards, merchants and others with a state.
        onto_snapshot: whether the rows went on from the model's own snapshot, because all of them are later.
        ahead: rows left out, because they are later than this machine's clock.
    """

    rows: int
    entities: int
    onto_snapshot: bool
    ahead: int


def warm(
    settings: Settings, scorer: Scorer, files: list[Path], progress: Callable[[int, int], None] | None = None
) -> Warmed:
    """Replace what an empty store begins with by the states after these transactions.

    Rows that are later than this machine's clock are left out, and counted.

    Labels in the files count as they do in training: once the label delay is over and the label is known.

    Raises:
        InvalidInput: the model has no behaviour features, the settings of pseudonyms are wrong, a row cannot be used,
            or the store has recorded something: what it has seen would count twice.
        StoreInUse: the service is running.
    """
    behaviour = _behaviour(scorer)
    pseudonyms = Pseudonyms.open(settings, scorer.schema)
    rows = pseudonyms.rows(checked_rows(scorer.schema, files, progress))
    late = ahead(scorer.schema, rows.time)
    if late == len(rows.time):
        raise InvalidInput(f"all {late:,} rows are {AHEAD}; set the clock, or correct their times")
    if late:
        rows = rows.take(np.arange(len(rows.time) - late))
    with _empty_store(settings) as (store, begun):
        own = snapshot_of(scorer)
        onto = own is not None and int(rows.time[0]) > own.as_of
        events = behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity, rows.fraud, rows.known)
        before = pseudonyms.states(behaviour, own.states) if own and onto else {}
        states = {**before, **replay(behaviour, events, before=before.get, keep=True).states}
        snapshot = Snapshot(behaviour.spec, int(rows.time[-1]), states)
        base = hashlib.sha256(snapshot.to_bytes()).hexdigest()
        store.begin(
            Origin(behaviour.spec, base, snapshot.as_of, pseudonyms=pseudonyms.fingerprint),
            ((key, to_bytes(state, behaviour.spec)) for key, state in states.items()),
            begun,
        )
    return Warmed(len(rows.time), len(states), onto, late)


def warm_with_states(settings: Settings, scorer: Scorer, folder: Path) -> int:
    """Replace what an empty store begins with by the states that a job on a cluster has left; how many there are.

    Memory holds some thousands of them at a time.

    Raises:
        InvalidInput: they are not of this model, and as :func:`warm`.
        StoreInUse: the service is running.
    """
    behaviour = _behaviour(scorer)
    pseudonyms = Pseudonyms.open(settings, scorer.schema)
    files = StateFiles(folder, behaviour)
    summary = files.summary()
    origin = Origin(behaviour.spec, summary.digest, summary.as_of, pseudonyms=pseudonyms.fingerprint)
    known = (pseudonyms.states(behaviour, part).items() for part in files.parts())
    packed = ((key, to_bytes(state, behaviour.spec)) for part in known for key, state in part)
    with _empty_store(settings) as (store, begun):
        store.begin(origin, packed, begun)
    return summary.states


def _behaviour(scorer: Scorer) -> Behaviour:
    behaviour = Behaviour(scorer.schema)
    if not behaviour:
        raise InvalidInput(f"model {scorer.manifest.version} has no behaviour features, so there is nothing to warm")
    return behaviour


@contextmanager
def _empty_store(settings: Settings) -> Iterator[tuple[Store, Origin | None]]:
    """The store, nothing being recorded in it, and where its states began."""
    with closing(open_store(settings.database_url, durability=settings.durability)) as store:
        begun = store.origin()
        recorded = store.last_seq()
        if recorded:
            raise InvalidInput(
                f"the store has recorded {recorded:,} events; history is loaded before the first request. "
                "To begin anew, name another COUNTERFOIL_DATABASE_URL"
            )
        yield store, begun
