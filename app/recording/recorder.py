"""Transactions scored and recorded: looked up, decided, and written, in one transaction of the store."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from app.pseudonyms import Pseudonyms
from app.recording.answers import Answer, Decided, rules_of
from app.recording.commit import Commits, Work
from app.recording.engine import Engine
from app.recording.labelling import labelled, plausible_time
from app.recording.opening import open_to_record
from app.recording.startup import Recovered, recover
from app.recording.state_cache import StateCache
from app.recording.steps import Steps
from app.refusals import Refusal
from app.requests.arrival import Arrival
from app.rules.changing import catch_up
from app.rules.rulebook import Rulebook
from app.rules.source import RuleSource
from app.settings import Settings
from app.store.contract import Store
from app.store.errors import StoreUnavailable
from app.store.records import Decision, Label, LabelEvent, Name, View, Writes
from app.telemetry.metrics import Metrics
from models.behaviour.events import Behaviour
from models.scorer import Scorer

_log = logging.getLogger(__name__)


class Recorder:
    """The one way from an arrival to a recorded answer. Lives with the process; belongs to one thread.

    Args:
        states: of the entities of its store.
        refill: fills ``states`` from the store.
        recovered: what was done to bring the states up to the log.
        metrics: where to count; by default, to be forgotten.
        tolerance: seconds by which the clocks of callers and of this machine may differ.
        rulebook: what has a say beside the model; None where nothing ever has.
        rules: where its rules come from.

    Attributes:
        rulebook, rules: as given.
    """

    def __init__(
        self,
        states: StateCache,
        refill: Callable[[], object],
        recovered: Recovered,
        metrics: Metrics | None = None,
        tolerance: int = 0,
        rulebook: Rulebook | None = None,
        rules: RuleSource | None = None,
    ) -> None:
        self.rulebook, self.rules = rulebook, rules
        self.states = states
        self.recovered = recovered
        self._commits = Commits(states, refill)
        self._metrics = metrics or Metrics()
        self._tolerance = tolerance * 1_000_000
        self.states.last = self.store.last_seq()
        self.states.count_unsaved()

    @staticmethod
    def open(
        settings: Settings,
        scorer: Scorer,
        pseudonyms: Pseudonyms,
        metrics: Metrics | None = None,
        steps: Steps | None = None,
        *,
        anew: bool = True,
    ) -> Recorder:
        """Open the store and bring the states up to its log.

        Args:
            anew: see :func:`app.recording.startup.recover`.

        Raises:
            OtherStates: the states would have to be made anew, and may not.
            StoreInUse: another process owns it.
            StoreUnavailable: it cannot be reached.
            InvalidInput: the URL is not one of a store, or its ids are under other pseudonyms.
        """
        store, ready = open_to_record(settings, scorer, pseudonyms)
        try:
            states = StateCache(store, Behaviour(scorer.schema), settings.state_memory_mb << 20, steps)
            refill = partial(recover, store, scorer, states, pseudonyms)
            recovered = refill(anew=anew)
            rulebook, rules = Rulebook(scorer.schema), RuleSource(settings.rules_file)
            catch_up(store, rulebook.lists)
            rules.start(store, rulebook, scorer.schema)
            refill, tolerance = partial(refill, anew=False), settings.future_tolerance_seconds
            return Recorder(states, refill, ready or recovered, metrics, tolerance, rulebook, rules)
        except BaseException:
            store.close()
            raise

    @property
    def store(self) -> Store:
        """Where to."""
        return self.states.store

    def recover_from(self, scorer: Scorer, pseudonyms: Pseudonyms) -> None:
        """Bring the states up to the log, where that is needed, under another version of the same declaration."""
        self._commits.refill = partial(recover, self.store, scorer, self.states, pseudonyms, anew=False)

    def close(self) -> None:
        """Save all states and release the store."""
        try:
            self.states.save_all()
        except StoreUnavailable as error:  # the log has it all: the next start replays more
            _log.warning("states not saved at the end: %s", error)
        finally:
            self.store.close()

    def answer(self, engine: Engine, arrivals: Sequence[Arrival]) -> list[Answer | Refusal]:
        """Score and record transactions in the order given, which is their order of arrival.

        Args:
            engine: under whose model version they arrived.

        Returns:
            Per transaction its durable reply, the one given before where it is in the log already, or why it was
            refused.

        Raises:
            StoreUnavailable: nothing was recorded.
        """
        begun = time.perf_counter()
        names = list(dict.fromkeys(name for arrival in arrivals for name in arrival.names))
        keys = {key for arrival in arrivals for key, _ in arrival.events}
        found: list[tuple[float, Decided]] = []
        rulebook = self._in_force()

        def work(view: View) -> Work:
            began = time.perf_counter()
            decided = engine.decide(arrivals, view, self.states.committed(keys, view), rulebook)
            found[:] = [(began, decided)]
            return Work(decided.states, decided.first_seq, decisions=decided.decisions)

        self._commits.run(names, keys, len(arrivals), work)
        began, decided = found[0]
        refused = sum(isinstance(answer, Refusal) for answer in decided.answers)
        self._metrics.answered(
            waited=(begun - arrival.arrived for arrival in arrivals),
            moments=(begun, began, decided.featured, decided.scored, time.perf_counter()),
            refused=refused,
            repeated=len(arrivals) - refused - len(decided.decisions),
            scores=[decision.score for decision in decided.decisions],
            decisions=Counter(decision.decision for decision in decided.decisions),
        )
        if rulebook is not None:
            self._metrics.ruled(rules_of(decided.answers))
        return decided.answers

    def answer_unlogged(self, engine: Engine, arrivals: Sequence[Arrival]) -> list[Answer | Refusal]:
        """Score transactions without the store, while it fails: nothing is looked up, recorded or counted.

        Each is scored on its own copies of the states in memory. What memory does not hold counts as new, and the reply
        says that it is approximate.
        """
        states = self.states.held({key for one in arrivals for key, _ in one.events})
        answers = engine.decide_apart(arrivals, states, self._in_force())
        self._metrics.unlogged(sum(isinstance(answer, Answer) for answer in answers))
        return answers

    def _in_force(self) -> Rulebook | None:
        """None where the model alone decides, so that it costs nothing."""
        return self.rulebook if self.rulebook is not None and self.rulebook.in_force else None

    def known(self, names: Sequence[Name]) -> Mapping[Name, Decision]:
        """What is recorded under these names.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        found: dict[Name, Decision] = {}

        def look(view: View) -> Writes:
            found.update(view.known)
            return Writes()

        self.store.transact(names, [], 0, look)
        return found

    def label(
        self, transaction_id: str, label: Label, known_at: int | None, arrived_at: int, caller: str | None
    ) -> int | None:
        """Record what became known of a transaction. The same again changes nothing.

        Args:
            known_at: None for ``arrived_at``, or as it is recorded where the latest label is the same.

        Returns:
            When it became known, as recorded; None where the log has no such transaction.

        Raises:
            Conflict: it became known before the transaction happened.
            StoreUnavailable: nothing was recorded.
        """
        decision = self.store.find(transaction_id)
        if decision is None:
            return None
        behaviour = self.states.behaviour
        said = arrived_at if known_at is None else known_at
        recorded: int | None = None
        known = plausible_time(behaviour, said, decision, self._tolerance)

        def work(view: View) -> Work:
            nonlocal recorded
            if view.known.get(transaction_id) != decision:  # another process has erased it meanwhile
                recorded = None
                return Work({}, {})
            recorded = known
            before = view.labels.get(transaction_id)
            if before is not None and before.label == label and (known_at is None or known == before.known_at):
                recorded = before.known_at
                return Work({}, {})
            event = LabelEvent(view.next_seq, transaction_id, label, known, arrived_at, caller)
            return labelled(behaviour, decision, event, before, self.states.committed(decision.keys, view))

        self._commits.run([transaction_id], set(decision.keys), 1, work, [transaction_id])
        return recorded

    def try_store(self) -> None:
        """See that the store reads, has this model's states, and takes what a transaction writes.

        Raises:
            StoreUnavailable: it fails.
        """

        def look(view: View) -> Writes:
            self.states.own(view)
            return Writes()

        self.store.watermark()
        self.store.transact([], [], 0, look)
        self.store.prove()
