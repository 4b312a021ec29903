"""Erasure: old decisions, or all of one card, and what remains still follows from what remains.

States of cards and merchants are made of the decisions that are to go. So first the base takes in the log up to there
(:mod:`app.recording.compaction`), then the decisions are deleted. Each step is one short transaction, and
the steps leave a whole store behind them: broken off anywhere, the same command again finishes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from app.pseudonyms import Pseudonyms
from app.recording.compaction import Run, at_once, compact
from app.recording.recorder import Recorder
from app.settings import Settings
from app.store.errors import StoreInUse
from app.store.open import open_store
from app.store.query import Filter, Recorded
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
        recorder: of the store. Other processes may write to a shared one meanwhile.
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
        with self._store.purging():
            newest = self._page(wanted, None, 1)
            last = newest[0].decision.seq if newest else 0
            self._compact(last, self._run)
            return self._purged(self._erase(wanted, last, self._run))

    def entity(self, key: EntityKey) -> Purged:
        """Erase all that was recorded of one card, merchant or other entity, and its state.

        It stays counted in the states of others, as it was when they saw it; so all history is compacted. For one that
        nothing is known of, a misspelt one, nothing is.
        """
        with self._store.purging():
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

        In one piece of work, so that nothing arrives in between; where another process writes, it is tried again. The
        state goes last: while a decision of it is left, so is the state that a label of that decision counts in.
        """
        erased = 0
        while True:
            last = self._store.last_seq()
            self._compact(last, at_once)
            erased += self._erase(Filter(entities=(key,)), last, at_once)
            self._recorder.states.forget(key)  # first: it is saved, and may be gone though the answer is lost
            if self._store.erase([], [key]):
                return erased

    def _erase(self, wanted: Filter, last: int, run: Run) -> int:
        """Delete decisions up to a place, every label of which is compacted first. Returns how many."""
        erased, before = 0, last + 1
        while some := self._page(wanted, before, self._most):
            self._compact(max((label.seq for one in some for label in one.labels), default=0), run)
            gone, before = run(partial(self._erase_compacted, wanted, before))
            erased += gone
        return erased

    def _erase_compacted(self, wanted: Filter, before: int) -> tuple[int, int]:
        """Delete decisions before a place, but those that got another label in between. Returns how many, and the place
        before which others may be left."""
        some, compacted = self._page(wanted, before, self._most), self._store.compacted()
        gone = [one.decision for one in some if all(label.seq <= compacted for label in one.labels)]
        erased = self._store.erase(gone)
        return erased, some[-1].decision.seq if some and erased == len(some) else before

    def _page(self, wanted: Filter, before: int | None, limit: int) -> Sequence[Recorded]:
        """The newest of the decisions before a place; none only where there are none."""
        while True:
            page = self._store.page(wanted, before, limit)
            if page.decisions or page.before is None:
                return page.decisions
            before = page.before

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
    """Erase from a store that no service has open; from a shared one, beside its services.

    Args:
        pseudonyms: of the store, as the settings want them.
        before: a time as for :meth:`Purge.before`; or else ``entity``, as for :meth:`Purge.entity`.

    Raises:
        StoreInUse: a service has it open, and must erase itself: ``POST /v1/purge``.
        InvalidInput: there is no such store, or its ids are under other pseudonyms.
        OtherStates: the store is shared, and its states are those of another model.
    """
    with closing(open_store(settings.database_url, read_only=True)):
        pass  # it is there: to erase, none is made
    try:
        recorder = Recorder.open(settings, scorer, pseudonyms, anew=False)
    except StoreInUse as error:
        raise StoreInUse(f"{error}. A service that runs erases itself: POST /v1/purge") from None
    try:
        purge = Purge(recorder, scorer.schema)
        if entity is not None:
            return purge.entity(entity)
        return purge.before(before or 0)
    finally:
        recorder.close()
