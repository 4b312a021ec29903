"""Transactions scored and recorded: looked up, given their behaviour features, scored, and written, in one transaction.

Memory is never ahead of the store: states are advanced on copies, and the copies take their place after the commit.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic_core import to_json

from app.problems import Refused
from app.recording.live_states import LiveStates
from app.recording.recovery import Recovered, recover
from app.refusals import FieldProblem
from app.replies import score_reply
from app.requests.asked import Asked
from app.requests.idempotency import HEADER
from app.requests.model import RequestModel
from app.settings import Settings
from app.store.contract import Store
from app.store.errors import StoreUnavailable
from app.store.open import open_store
from app.store.records import Decision, Label, LabelEvent, Name, SavedState, View, Writes
from app.telemetry.metrics import Metrics
from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.events import Behaviour, Entity
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty, packed, step
from models.rows import Batch
from models.scorer import Scorer
from models.thresholds import DECISIONS

#: Events after which an entity's state is due to be saved, and how many are saved with one transaction.
SAVE_AFTER, SAVE_AT_ONCE = 20_000, 64
_SECOND = 1_000_000
_log = logging.getLogger(__name__)


class Replayed(bytes):
    """A reply that was given before: the transaction is recorded already."""


#: The reply as JSON, or why there is none.
Answer = bytes | Refused


@dataclass
class _Work:
    """What one try of a transaction came to. ``moments``: when features, score and log began."""

    answers: list[Answer]
    decisions: Sequence[Decision] = ()
    moments: tuple[float, ...] = ()
    states: dict[EntityKey, State] = field(default_factory=dict)
    first_seq: dict[EntityKey, int] = field(default_factory=dict)
    saved: dict[EntityKey, SavedState] = field(default_factory=dict)


class Recorder:
    """The one way from a validated transaction to a recorded answer. Belongs to one thread.

    Args:
        store: where to.
        live: the states of a store that is not shared.
        future_tolerance: seconds that a transaction may be ahead of this machine's clock.
        recovered: what was done to bring the states up to the log.
        metrics: where to count; by default, to be forgotten.

    Attributes:
        unsaved_events: since the first one that a saved state lacks. Any thread may ask.
    """

    def __init__(
        self,
        store: Store,
        scorer: Scorer,
        requests: RequestModel,
        live: LiveStates,
        future_tolerance: int,
        recovered: Recovered,
        metrics: Metrics | None = None,
    ) -> None:
        self.store = store
        self.live = live
        self.recovered = recovered
        self._scorer = scorer
        self._requests = requests
        self._future = future_tolerance * _SECOND
        self._last = store.last_seq()
        self._metrics = metrics or Metrics()
        self._behaviour = Behaviour(scorer.schema)
        self._entities = {entity.name: entity for entity in self._behaviour.entities}
        self._calendar = bool(self._behaviour) and not scorer.schema.elapsed
        self._count_unsaved()

    @property
    def last_seq(self) -> int:
        """The last place in the order of arrival that is known to be durable. Any thread may ask."""
        return self._last

    @staticmethod
    def open(settings: Settings, scorer: Scorer, requests: RequestModel, metrics: Metrics | None = None) -> Recorder:
        """Open the store and bring the states up to its log.

        Raises:
            StoreInUse: another process owns it.
            StoreUnavailable: it cannot be reached.
            InvalidInput: the URL is not one of a store, or its ids are under other pseudonyms.
        """
        store = open_store(settings.database_url, durability=settings.durability)
        try:
            live = LiveStates(settings.state_memory_mb << 20)
            recovered = recover(store, scorer, live, requests.pseudonyms)
            return Recorder(store, scorer, requests, live, settings.future_tolerance_seconds, recovered, metrics)
        except BaseException:
            store.close()
            raise

    def close(self) -> None:
        """Save all states and release the store."""
        try:
            self.save_all()
        except StoreUnavailable as error:  # the log has it all: the next start replays more
            _log.warning("states not saved at the end: %s", error)
        finally:
            self.store.close()

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Score and record transactions in the order given, which is their order of arrival.

        Returns:
            Per transaction its durable reply, that of then for one that is in the log already, or why it was refused.

        Raises:
            StoreUnavailable: nothing was recorded.
        """
        begun = time.perf_counter()
        events = [self._behaviour.of_row(one.row) for one in asked]
        keys = {key for event in events for key, _ in event}
        names = dict.fromkeys(name for one in asked for name in one.names)

        def compute(view: View) -> tuple[_Work, Sequence[Decision]]:
            return self._score(view, asked, events)

        work = self._transact(list(names), keys, len(asked), compute)
        self._measure(work, asked, begun)
        return work.answers

    def _measure(self, work: _Work, asked: Sequence[Asked], begun: float) -> None:
        refused = sum(isinstance(answer, Refused) for answer in work.answers)
        moments = (begun, *work.moments, time.perf_counter())
        waited = (begun - one.arrived for one in asked)
        self._metrics.answered(waited, moments, refused, len(asked) - refused - len(work.decisions))
        self._metrics.recorded(
            (decision.score for decision in work.decisions),
            Counter(decision.decision for decision in work.decisions),
        )

    def answer_unlogged(self, asked: Sequence[Asked]) -> list[Answer]:
        """Score transactions without the store, while it fails: nothing is looked up, recorded or counted.

        Each is scored on its own copies of the states in memory. What memory does not hold counts as new, and the reply
        says that it is approximate.
        """
        events = [self._behaviour.of_row(one.row) for one in asked]
        view, work = View({}, {}, {}, self._last + 1), _Work([b""] * len(asked))
        fresh: list[int] = []
        features: list[NDArray[np.float64]] = []
        approximate: list[bool] = []
        for i, (one, event) in enumerate(zip(asked, events, strict=True)):
            try:
                written, merged = self._advance(_Work([]), view, one, event, view.next_seq)
            except Refused as refusal:
                work.answers[i] = refusal
                continue
            fresh.append(i)
            features.append(written)
            approximate.append(merged or any(key not in self.live for key, _ in event))
        self._decide(work, view.next_seq, asked, events, fresh, features, approximate, logged=False)
        self._metrics.unlogged(len(fresh))
        return work.answers

    def label(
        self, transaction_id: str, label: Label, known_at: int | None, arrived_at: int, caller: str | None
    ) -> int | None:
        """Record what became known of a transaction. The same again changes nothing.

        Args:
            known_at: None for ``arrived_at``, or as it is recorded where the latest label is the same.

        Returns:
            When it became known, as recorded; None where the log has no such transaction.

        Raises:
            Refused: it became known before the transaction happened.
            StoreUnavailable: nothing was recorded.
        """
        decision = self.store.find(transaction_id)
        if decision is None:
            return None
        known = arrived_at if known_at is None else known_at
        if self._calendar and known < decision.time:
            problem = FieldProblem(field="known_at", message="earlier than the transaction itself")
            raise Refused("conflict", "the label cannot be right", [problem])
        recorded = known

        def compute(view: View) -> tuple[_Work, Sequence[LabelEvent]]:
            nonlocal recorded
            work, recorded = _Work([]), known
            before = view.labels.get(transaction_id)
            if before is not None and before.label == label and known_at in (None, before.known_at):
                recorded = before.known_at
                return work, ()
            change = int(label == "fraud") - int(before is not None and before.label == "fraud")
            for key in decision.keys if change else ():
                entity = self._entities.get(key[0])
                if entity is not None:
                    state = self._state(key, entity, view).copy()
                    relabel(state, entity.plan, decision.time, change)
                    work.states[key] = state
                    work.first_seq[key] = view.next_seq
            event = LabelEvent(view.next_seq, transaction_id, label, known, arrived_at, caller, change)
            return work, (event,)

        self._transact([transaction_id], set(decision.keys), 1, compute)
        return recorded

    def peek(self, keys: Sequence[EntityKey]) -> dict[EntityKey, State]:
        """Copies of the states of those of the entities that have one."""
        found: dict[EntityKey, State] = {}

        def read(view: View) -> Writes:
            for key in keys:
                state = self.live.get(key)
                saved = view.states.get(key)
                if state is not None:
                    found[key] = state.copy()
                elif saved is not None:
                    found[key] = np.frombuffer(saved.content, np.int64).copy()
            return Writes()

        self.store.transact([], self._wanted(set(keys)), 0, read)
        return found

    def try_store(self) -> None:
        """Write what is written there already: a store may read and not write, or write and not sync.

        Raises:
            StoreUnavailable: it fails.
        """
        watermark = self.store.watermark()
        self.store.transact([], [], 0, lambda _: Writes(watermark=watermark))

    def save_all(self) -> None:
        """Save every state that is not saved, so that a restart replays nothing."""
        while self.save_some(2**62):
            pass

    def save_some(self, before: int) -> bool:
        """Save some of the states that lack an event earlier than ``before``; False where there are none."""
        due = self.live.due(before, 1_000)
        if not due:
            return False

        def save(view: View) -> Writes:
            states = {key: self._saved(key, self.live.get(key), self._last) for key in due}
            rest = (seq for key, seq in self.live.unsaved.items() if key not in states)
            return Writes((), (), states, next(rest, self._last + 1) - 1)

        self.store.transact([], [], 0, save)
        self.live.saved(dict.fromkeys(due))
        return True

    def _transact(
        self,
        names: Sequence[Name],
        keys: set[EntityKey],
        events: int,
        compute: Callable[[View], tuple[_Work, Sequence[Decision] | Sequence[LabelEvent]]],
    ) -> _Work:
        """One transaction of the store; memory follows once it is durable."""
        work = _Work([])
        last = self._last

        def write(view: View) -> Writes:
            nonlocal work, last
            if not self.store.shared and view.next_seq != self._last + 1:
                raise _Behind
            work, written = compute(view)
            last = view.next_seq + len(written) - 1
            work.saved = self._to_save(work, view.next_seq, len(written))
            decisions = [event for event in written if isinstance(event, Decision)]
            labels = [event for event in written if isinstance(event, LabelEvent)]
            return Writes(decisions, labels, work.saved, self._watermark(work, last))

        try:
            self.store.transact(names, self._wanted(keys), events, write)
        except _Behind:
            self._catch_up()
            self.store.transact(names, self._wanted(keys), events, write)
        self._last = last
        self._keep(work)
        return work

    def _catch_up(self) -> None:
        """Make memory anew from the store: a commit whose answer was lost has been kept after all."""
        self.live.clear()
        try:
            recover(self.store, self._scorer, self.live, self._requests.pseudonyms)
        except StoreUnavailable:
            self.live.clear()  # half of it would pass for all
            raise
        self._last = self.store.last_seq()

    def _score(
        self,
        view: View,
        asked: Sequence[Asked],
        events: Sequence[list[tuple[EntityKey, NDArray[np.int64]]]],
    ) -> tuple[_Work, Sequence[Decision]]:
        """Answers to all, and the decisions to be written."""
        work = _Work([b""] * len(asked))
        began = time.perf_counter()
        first: dict[Name, int] = {}
        again: list[int] = []
        fresh: list[int] = []
        features: list[NDArray[np.float64]] = []
        approximate: list[bool] = []
        for i, (one, event) in enumerate(zip(asked, events, strict=True)):
            if stored := {name: view.known[name] for name in one.names if name in view.known}:
                others = [name for name, decision in stored.items() if decision.digest != one.digest]
                work.answers[i] = self._conflict(others) if others else Replayed(next(iter(stored.values())).reply)
                continue
            if any(name in first for name in one.names):
                again.append(i)
                continue
            try:
                written, merged = self._advance(work, view, one, event, view.next_seq + len(fresh))
            except Refused as refusal:
                work.answers[i] = refusal
                continue
            first |= dict.fromkeys(one.names, i)
            fresh.append(i)
            features.append(written)
            approximate.append(merged)
        featured = time.perf_counter()
        work.decisions = self._decide(work, view.next_seq, asked, events, fresh, features, approximate)
        work.moments = (began, featured, time.perf_counter())
        for i in again:
            earlier = {name: first[name] for name in asked[i].names if name in first}
            others = [name for name, j in earlier.items() if asked[j].digest != asked[i].digest]
            answer = work.answers[next(iter(earlier.values()))]
            assert isinstance(answer, bytes)  # only what is recorded has names
            work.answers[i] = self._conflict(others) if others else Replayed(answer)
        return work, work.decisions

    def _conflict(self, names: Sequence[Name]) -> Refused:
        """For a transaction some of whose names stand for another one."""
        fields = [self._scorer.schema.id or "" if isinstance(name, str) else HEADER for name in names]
        problems = [FieldProblem(field=field, message="another transaction is recorded under it") for field in fields]
        return Refused("conflict", "each id and each key stands for one transaction; nothing was changed", problems)

    def _advance(
        self, work: _Work, view: View, one: Asked, events: list[tuple[EntityKey, NDArray[np.int64]]], seq: int
    ) -> tuple[NDArray[np.float64], bool]:
        """The transaction's behaviour features, its entities' states moved on; or nothing is changed."""
        schema = self._scorer.schema
        if self._calendar and one.row[schema.timestamp or ""] > one.arrived_at + self._future:
            raise _untimely(schema.timestamp, f"more than {self._future // _SECOND} s ahead of this service's clock")
        states = []
        for key, event in events:
            entity = self._entities[key[0]]
            state = work.states.get(key)
            if state is None:
                state = self._state(key, entity, view).copy()
            if state[L.NEWEST] != L.NEVER and event[0] < state[L.NEWEST] - entity.plan[P.LATE]:
                raise _untimely(
                    schema.timestamp,
                    f"more than {int(entity.plan[P.LATE]) // 86_400_000_000} days before the newest transaction of the "
                    f"same {entity.name}: no history is kept for it",
                )
            states.append((key, entity, state, event))
        features = np.empty(self._behaviour.width)
        merged = False
        for key, entity, state, event in states:
            moved, status = step(entity, state, event, features[entity.out])
            work.states[key] = moved
            work.first_seq.setdefault(key, seq)
            merged |= status > 0
        return features, merged

    def _decide(
        self,
        work: _Work,
        next_seq: int,
        asked: Sequence[Asked],
        events: Sequence[list[tuple[EntityKey, NDArray[np.int64]]]],
        fresh: list[int],
        features: list[NDArray[np.float64]],
        approximate: list[bool],
        logged: bool = True,
    ) -> list[Decision]:
        if not fresh:
            return []
        batch: Batch = self._requests.batch([asked[i].row for i in fresh])
        if self._behaviour:
            batch = batch.with_behaviour(np.array(features))
        scores = self._scorer.score(batch)
        manifest = self._scorer.manifest
        decisions = []
        for position, i in enumerate(fresh):
            one = asked[i]
            reply = score_reply(
                self._scorer, batch, scores, position, one.want, one.transaction_id, approximate[position], logged
            )
            work.answers[i] = content = to_json(reply)
            decisions.append(
                Decision(
                    seq=next_seq + position,
                    transaction_id=one.transaction_id,
                    digest=one.digest,
                    time=int(batch.time[position]),
                    arrived_at=one.arrived_at,
                    body=one.body,
                    features=batch.to_bytes(position),
                    score=reply.score,
                    error=reply.reconstruction_error,
                    threshold=reply.threshold,
                    decision=DECISIONS[scores.decision[position]],
                    model_version=manifest.version,
                    reply=content,
                    caller=one.caller,
                    latency_us=int((time.perf_counter() - one.arrived) * 1e6),
                    keys=tuple(key for key, _ in events[i]),
                    idempotency_digest=one.idempotency_digest,
                )
            )
        return decisions

    def _wanted(self, keys: set[EntityKey]) -> list[EntityKey]:
        """The entities whose states have to be read from the store."""
        return sorted(keys) if self.store.shared else sorted(key for key in keys if key not in self.live)

    def _state(self, key: EntityKey, entity: Entity, view: View) -> State:
        """The committed state of an entity; not to be changed."""
        state = None if self.store.shared else self.live.get(key)
        if state is None:
            saved = view.states.get(key)
            state = empty(entity) if saved is None else np.frombuffer(saved.content, np.int64)
        return state

    def _to_save(self, work: _Work, next_seq: int, events: int) -> dict[EntityKey, SavedState]:
        """States to write with a transaction: all that changed where others read them, else those that are due."""
        last = next_seq + events - 1
        if self.store.shared:
            return {key: self._saved(key, state, last) for key, state in work.states.items()}
        due = self.live.due(next_seq - SAVE_AFTER, SAVE_AT_ONCE + 4 * events)
        return {
            key: self._saved(key, work.states[key], last)
            if key in work.states
            else self._saved(key, self.live.get(key), next_seq - 1)
            for key in due
        }

    def _saved(self, key: EntityKey, state: State | None, seq: int) -> SavedState:
        assert state is not None  # what is unsaved is in memory
        return SavedState(seq, packed(self._entities[key[0]], state).tobytes())

    def _watermark(self, work: _Work, last: int) -> int | None:
        """After a transaction that ends with ``last``: the event up to which every saved state is complete."""
        if self.store.shared or not work.saved:
            return None
        waiting = (seq for key, seq in self.live.unsaved.items() if key not in work.saved)
        changed = (seq for key, seq in work.first_seq.items() if key not in work.saved)
        return min(next(waiting, last + 1), min(changed, default=last + 1)) - 1

    def _keep(self, work: _Work) -> None:
        """After the commit: the new states take the place of the old."""
        if self.store.shared:
            return
        self.live.saved(work.saved)
        unsaved = {key: seq for key, seq in work.first_seq.items() if key not in work.saved}
        self.live.put(work.states, unsaved)
        self.live.evict()
        self._count_unsaved()

    def _count_unsaved(self) -> None:
        oldest = self.live.oldest_unsaved()
        self.unsaved_events = 0 if oldest is None else self._last + 1 - oldest


class _Behind(Exception):
    """The log holds more than memory knows of."""


def _untimely(field_name: str | None, message: str) -> Refused:
    problem = FieldProblem(field=field_name or "", message=message)
    return Refused("invalid-transaction", "1 field is not as expected", [problem])
