"""Erasure: old decisions, or all of one card, and what remains still follows from what remains.

States of cards and merchants are made of the decisions that are to go. So first the base takes in the log up to there
(:mod:`app.recording.compaction`), then the decisions are deleted. Each step is one short transaction, and
the steps leave a whole store behind them: broken off anywhere, the same command again finishes.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from app.pseudonyms import Pseudonyms
from app.recording.compaction import Run, at_once, compact
from app.recording.recorder import Recorder
from app.settings import Settings
from app.store.errors import StoreInUse
from app.store.open import open_store
from app.store.query import Filter
from models.behaviour.keys import EntityKey
from models.schema import TransactionSchema
from models.scorer import Scorer

#: Tries to empty the files, and seconds between them.
_TRIES, _PAUSE = 50, 0.1


@dataclass(frozen=True)
class Purged:
    """What was erased.

    Attributes:
        decisions: how many, with their labels.
        compacted: decisions up to this place in the order of arrival can no longer be recomputed from what came before.
        scrubbed: nothing of them is in the store's files any more; False where a reader kept an older state open.
    """

    decisions: int
    compacted: int
    scrubbed: bool


class Purge:
    """Erases from the store of a recorder.

    Args:
        recorder: its store must not be a shared one.
        schema: of the recorder's model.
        run: in which thread; the caller's own by default.
    """

    def __init__(self, recorder: Recorder, schema: TransactionSchema, run: Run | None = None) -> None:
        self._recorder, self._store = recorder, recorder.store
        self._compact = partial(compact, recorder, schema)
        self._most = recorder.states.steps.erase
        self._run: Run = run or at_once

    def before(self, moment: int) -> Purged:
        """Erase what arrived before a time, microseconds since 1970 UTC.

        A label of it counts in the states first, however late it came: history is compacted up to there.
        """
        wanted = Filter(until=moment)
        newest = self._store.page(wanted, None, 1).decisions
        last = newest[0].decision.seq if newest else 0
        self._compact(last, self._run)
        return self._purged(self._erase(wanted, last, self._run))

    def entity(self, key: EntityKey) -> Purged:
        """Erase all that was recorded of one card, merchant or other entity, and its state.

        It stays counted in the states of others, as it was when they saw it; so all history is compacted. For one that
        nothing is known of, a misspelt one, nothing is.
        """
        if not self._run(partial(self._knows, key)):
            return self._purged(0)
        last = self._run(self._store.last_seq)
        self._compact(last, self._run)
        erased = self._erase(Filter(entities=(key,)), last, self._run)
        # Little is left for the piece that all others wait for.
        self._compact(self._run(self._store.last_seq), self._run)
        return self._purged(erased + self._run(partial(self._forget, key)))

    def _knows(self, key: EntityKey) -> bool:
        if self._store.page(Filter(entities=(key,)), None, 1).decisions:
            return True
        return bool(self._recorder.states.peek([key]) or self._store.base_states([key]))

    def _forget(self, key: EntityKey) -> int:
        """Erase what arrived meanwhile, then the state. Returns how many.

        In one piece of work, so that nothing arrives in between. The state goes last: while a decision of it is left,
        so is the state that a label of that decision counts in.
        """
        last = self._store.last_seq()
        self._compact(last, at_once)
        erased = self._erase(Filter(entities=(key,)), last, at_once)
        self._recorder.states.forget(key)  # first: it is saved, and may be gone though the answer is lost
        self._store.erase([], [key])
        return erased

    def _erase(self, wanted: Filter, last: int, run: Run) -> int:
        """Delete decisions up to a place, every label of which is compacted first. Returns how many."""
        erased = 0
        while True:
            page = self._store.page(wanted, last + 1, self._most)
            if not page.decisions:
                return erased
            self._compact(max((label.seq for one in page.decisions for label in one.labels), default=0), run)
            erased += run(partial(self._erase_compacted, wanted, last))

    def _erase_compacted(self, wanted: Filter, last: int) -> int:
        """Delete a page of decisions but those that got another label in between. Returns how many."""
        page, compacted = self._store.page(wanted, last + 1, self._most), self._store.compacted()
        gone = [one.decision for one in page.decisions if all(label.seq <= compacted for label in one.labels)]
        self._store.erase(gone)
        return len(gone)

    def _purged(self, decisions: int) -> Purged:
        return Purged(decisions, self._store.compacted(), self._scrub())

    def _scrub(self) -> bool:
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE)
            if self._store.scrub():
                return True
        return False


def purge_store(
    settings: Settings, scorer: Scorer, pseudonyms: Pseudonyms, before: int | None, entity: EntityKey | None
) -> Purged:
    """Erase from a store that no service has open.

    Args:
        pseudonyms: of the store, as the settings want them.
        before: a time as for :meth:`Purge.before`; or else ``entity``, as for :meth:`Purge.entity`.

    Raises:
        StoreInUse: a service has it open, and must erase itself: ``POST /v1/purge``.
        InvalidInput: there is no such store, it is a shared one, or its ids are under other pseudonyms.
    """
    with closing(open_store(settings.database_url, read_only=True)) as store:
        if store.shared:
            store.scrub()  # says why not
    try:
        recorder = Recorder.open(settings, scorer, pseudonyms)
    except StoreInUse as error:
        raise StoreInUse(f"{error}. A service that runs erases itself: POST /v1/purge") from None
    try:
        purge = Purge(recorder, scorer.schema)
        if entity is not None:
            return purge.entity(entity)
        return purge.before(before or 0)
    finally:
        recorder.close()
