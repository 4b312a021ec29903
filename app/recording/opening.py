"""Opens the store that is to be recorded in. One that several processes are to share is made ready by the first."""

from __future__ import annotations

from contextlib import suppress

from app.pseudonyms import Pseudonyms
from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.settings import Settings
from app.store.contract import Store
from app.store.errors import NotShared, StoreInUse
from app.store.open import open_store, shared_url
from app.store.records import View, Writes
from models.behaviour.events import Behaviour
from models.scorer import Scorer


def open_to_record(settings: Settings, scorer: Scorer, pseudonyms: Pseudonyms) -> tuple[Store, Recovered | None]:
    """The store, and what was done to make it ready; None where nothing was.

    A process that owns a store on PostgreSQL saves states now and then. Before several share it, all are saved.

    Raises:
        StoreInUse: another process owns it.
        StoreUnavailable: it cannot be reached.
        InvalidInput: the URL is not one of a store, or its ids are under other pseudonyms.
    """
    recovered = None
    try:
        store = open_store(settings.database_url, durability=settings.durability)
    except NotShared:
        with suppress(StoreInUse):  # another process does it, and the opening waits for that
            recovered = _saved(settings, scorer, pseudonyms)
        store = open_store(settings.database_url, durability=settings.durability)
    return store, recovered


def _saved(settings: Settings, scorer: Scorer, pseudonyms: Pseudonyms) -> Recovered:
    """Own the store for a moment, and save every state."""
    store = open_store(shared_url(settings.database_url, shared=False), durability=settings.durability)
    try:
        states = StateCache(store, Behaviour(scorer.schema), settings.state_memory_mb << 20)
        found = recover(store, scorer, states, pseudonyms)
        states.last = last = store.last_seq()
        states.save_all()

        def all_saved(_view: View) -> Writes:
            return Writes(watermark=last)

        store.transact([], [], 0, all_saved)
    finally:
        store.close()
    return found
