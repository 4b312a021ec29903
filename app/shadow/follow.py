"""Challengers follow the log: each decides each decision once, whatever becomes of this process in between."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from app.pseudonyms import Pseudonyms, keyed_scorer
from app.recording.startup import require_pseudonyms
from app.reload.fit import require_recorded
from app.settings import Settings
from app.shadow.challenger import Challenger
from app.shadow.results import Results
from app.store.contract import Store
from app.store.errors import StoreUnavailable
from app.store.tail import Tail
from models.bundle import read_manifest
from models.errors import InvalidInput
from models.registry import Registry
from models.scorer import Scorer

#: Challengers of one process, events read at once, seconds between looks at a log that has nothing new.
MOST, _AT_ONCE, _EVERY = 3, 1_024, 1.0
_log = logging.getLogger(__name__)


class _Follower:
    """One challenger's way through the log."""

    def __init__(self, challenger: Challenger, store: Store, results: Results) -> None:
        self._challenger, self._store, self._results = challenger, store, results
        settled, compacted = results.settled(challenger.version) or 0, store.compacted()
        self._settled = max(settled, compacted)
        self._done = results.done(challenger.version, settled)
        self._tail = Tail(compacted if challenger.replays else self._settled)

    def step(self) -> int:
        """Decide a stretch of the log; how many events it had.

        Raises:
            StoreUnavailable: the log cannot be read now.
        """
        before = self._tail.settled
        events = self._tail.read(self._store, _AT_ONCE)
        later = [event for event in events if event.seq > self._settled or self._challenger.replays]
        done = self._done.union(event.seq for event in events if event.seq <= self._settled)
        found = self._challenger.decide(later, self._store, done)
        if found or self._tail.settled > before:
            self._results.add(self._challenger.version, found, max(self._settled, self._tail.settled))
        return len(events)


def challengers(settings: Settings, versions: Sequence[str], store: Store) -> list[Challenger]:
    """The versions, loaded, verified, and able to decide what is recorded.

    Raises:
        InvalidInput: too many, one twice, none is active to compare with, or one cannot decide what is recorded.
        InvalidBundle, ModelNotFound: one cannot be loaded.
    """
    if len(versions) > MOST or len(set(versions)) < len(versions):
        raise InvalidInput(f"name {MOST} different versions at most")
    registry = Registry(settings.artifacts)
    active = read_manifest(registry.resolve(settings.model)).transaction_schema
    found = []
    for version in versions:
        scorer = keyed_scorer(Scorer.load(registry.folder(version)), settings)
        try:
            require_recorded(active, scorer.schema)
        except InvalidInput as error:
            raise InvalidInput(f"{version}: {error}") from None
        pseudonyms = Pseudonyms.open(settings, scorer.schema)
        require_pseudonyms(store.origin(), pseudonyms)
        found.append(Challenger(scorer, registry, store, pseudonyms))
    return found


def follow(
    some: Sequence[Challenger],
    store: Store,
    results: Results,
    *,
    once: bool = False,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Decide what is recorded and what is being recorded, until told to stop.

    Args:
        once: stop at the end of the log.
        stop: may be set by another thread.
        progress: told how many events were read since the last time.

    Raises:
        StoreUnavailable: the log cannot be read, and ``once`` was asked for. Else it is waited for.
    """
    stop = stop or threading.Event()
    followers = [_Follower(one, store, results) for one in some]
    while not stop.is_set():
        try:
            read = sum(follower.step() for follower in followers)
        except StoreUnavailable as error:
            if once:
                raise
            _log.warning("the store cannot be read: %s; looking again", error)
            read = 0
        progress(read)
        if not read:
            if once:
                return
            stop.wait(_EVERY)


def yield_to_others() -> None:
    """Run this process only when no other wants the processor, as far as the system lets it."""
    with suppress(OSError, AttributeError):
        os.nice(19)
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
