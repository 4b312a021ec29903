"""Recompute served decisions from the log and tell every difference between what was answered and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile

import numpy as np
from pydantic_core import from_json, to_json

from app.recording.answers import Featured
from app.recording.engine import Engine
from app.recording.rebuild import counts
from app.recording.state_bytes import to_state
from app.replies import ScoreReply
from app.requests.arrival import Arrival, ScoreOptions
from app.requests.encoder import Encoder
from app.rules.history import History
from app.rules.replies import ruled, rules_version
from app.store.contract import Store
from app.store.records import Decision, LabelEvent, Origin
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty
from models.errors import CounterfoilError, InvalidInput
from models.registry import Registry
from models.rows import Batch
from models.scorer import Scorer

_NO_REASONS = ScoreOptions(0)
ERASED = "cannot be checked: erased history"


@dataclass(frozen=True)
class Mismatch:
    """One decision that does not follow from the log.

    Attributes:
        seq: its place in the order of arrival.
        what: the names of what differs: features, score, reasons …
    """

    seq: int
    transaction_id: str | None
    what: tuple[str, ...]


@dataclass
class Checked:
    """What a check found.

    Attributes:
        decisions: recomputed.
        skipped: not recomputed, by reason: the model version is gone, or has other [entity] sections than the states,
            or what came before was erased.
    """

    decisions: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)


class LogCheck:
    """Replays a log beside what was answered.

    Args:
        store: may be read-only.
        registry: holds the versions that answered.
        scorer: of the version whose states the store holds.
        at_once: events of the log.

    Raises:
        InvalidInput: the store is empty.
    """

    def __init__(self, store: Store, registry: Registry, scorer: Scorer, at_once: int = 1_024) -> None:
        origin = store.origin()
        if origin is None:
            raise InvalidInput("the store is empty: nothing was answered yet")
        self._own = _Version(scorer)
        behaviour = self._own.engine.behaviour
        if origin.spec != behaviour.spec:
            raise InvalidInput("the store's states belong to a model with other [entity] sections; use --model")
        self._store = store
        self._registry = registry
        self._at_once = at_once
        self._origin: Origin = origin
        self._compacted = store.compacted()
        self._entities = {entity.name: entity for entity in behaviour.entities}
        self._versions: dict[str, _Version | str] = {}
        self._states: dict[EntityKey, State] = {}
        self._history = History(store)

    def all(self, since: int, progress: Callable[[int], None] = lambda seq: None) -> Checked:
        """Recompute every decision that arrived at ``since``, microseconds since 1970 UTC, or later."""
        checked = Checked()
        erased = sum(
            event.arrived_at >= since
            for event in takewhile(
                lambda event: event.seq <= self._compacted, self._store.log() if self._compacted else ()
            )
            if isinstance(event, Decision)
        )
        if erased:
            checked.skipped[ERASED] = erased
        for chunk in self._chunks(self._store.log(self._compacted)):
            self._check(chunk, since, checked)
            progress(chunk[-1].seq)
        if self._store.compacted() != self._compacted:
            raise InvalidInput("history was erased while it was checked: check again")
        return checked

    def one(self, transaction_id: str) -> tuple[Decision, Checked, dict[str, float]]:
        """Recompute one decision from the events of its card, merchant and other entities.

        Returns:
            The decision, what differs, and its behaviour features by name.

        Raises:
            InvalidInput: the log has no such transaction, the version that answered it is gone, or what came before it
            was erased.
        """
        decision = self._store.find(transaction_id)
        if decision is None:
            raise InvalidInput("no transaction with this id is recorded")
        if decision.seq <= self._compacted:
            raise InvalidInput(f"it {ERASED}")
        version = self._version(decision.model_version)
        if isinstance(version, str):
            raise InvalidInput(f"{version}: {decision.model_version}")
        schema = version.scorer.schema
        checked = Checked()
        for chunk in self._chunks(self._store.log(self._compacted, keys=decision.keys)):
            until = [event for event in chunk if event.seq <= decision.seq]
            self._check(until, 0, checked, only=decision.seq)
        features = Batch.from_bytes(decision.features, len(schema.numeric)).numeric[0]
        names = [feature.name for feature in schema.behaviour]
        values = dict(zip(names, features[len(features) - len(names) :].tolist(), strict=True))
        return decision, checked, values

    def _chunks(self, log: Iterator[Decision | LabelEvent]) -> Iterator[list[Decision | LabelEvent]]:
        while chunk := list(islice(log, self._at_once)):
            yield chunk

    def _version(self, name: str) -> _Version | str:
        """The version, or why it cannot be used."""
        if name not in self._versions:
            try:
                version = _Version(Scorer.load(self._registry.folder(name)))
            except CounterfoilError:
                self._versions[name] = "the model version is gone"
            else:
                same = version.engine.behaviour.spec == self._origin.spec
                self._versions[name] = version if same else "the model version has other [entity] sections"
        return self._versions[name]

    def _check(self, chunk: list[Decision | LabelEvent], since: int, checked: Checked, only: int | None = None) -> None:
        """Move the states on by a part of the log; recompute the decisions that are asked for."""
        self._load(chunk)
        waiting: dict[str, list[tuple[Decision, Arrival, Featured]]] = {}
        for event in chunk:
            if isinstance(event, LabelEvent):
                self._relabel(event)
                continue
            wanted = event.arrived_at >= since if only is None else event.seq == only
            found = self._advance(event, _asked(event) if wanted else _NO_REASONS)
            if wanted and found is not None:
                waiting.setdefault(event.model_version, []).append((event, *found))
        mismatches = [one for name, some in waiting.items() for one in self._compare(name, some, checked)]
        checked.mismatches += sorted(mismatches, key=lambda mismatch: mismatch.seq)

    def _load(self, chunk: list[Decision | LabelEvent]) -> None:
        found = [event if isinstance(event, Decision) else self._labelled(event) for event in chunk]
        keys = {key for decision in found if decision for key in decision.keys}
        missing = sorted(key for key in keys if key not in self._states)
        base = self._store.base_states(missing)
        for key in missing:
            content = base.get(key)
            fresh = empty(self._entities[key[0]]) if content is None else to_state(content, self._origin.spec).copy()
            self._states[key] = fresh

    def _advance(self, decision: Decision, options: ScoreOptions) -> tuple[Arrival, Featured] | None:
        """The transaction as it arrived, and its behaviour features; None where the base has it."""
        if not counts(self._origin, np.array([decision.seq]), np.array([decision.time]))[0]:
            return None
        version = self._version(decision.model_version)
        mine = self._own if isinstance(version, str) else version
        arrival = mine.encoder.logged(decision, options)
        return arrival, mine.engine.advance(arrival, {}, self._states, timely=False)

    def _relabel(self, label: LabelEvent) -> None:
        decision = self._labelled(label)
        for key in decision.keys if decision else ():
            entity = self._entities.get(key[0])
            if decision is not None and entity is not None and key in self._states:
                relabel(self._states[key], entity.plan, decision.time, label.change)

    def _labelled(self, label: LabelEvent) -> Decision | None:
        """The decision that a label changes anything for; it may be older than what is replayed."""
        return self._store.find(label.transaction_id) if label.change else None

    def _compare(
        self, name: str, some: list[tuple[Decision, Arrival, Featured]], checked: Checked
    ) -> Iterator[Mismatch]:
        version = self._version(name)
        if isinstance(version, str):
            checked.skipped[version] = checked.skipped.get(version, 0) + len(some)
            return
        some = [one for one in some if not self._unruled(version, one[0], checked)]
        checked.decisions += len(some)
        replies, batch = version.engine.score([arrival for _, arrival, _ in some], [found for _, _, found in some])
        for row, ((decision, _, _), reply) in enumerate(zip(some, replies, strict=True)):
            answered = from_json(decision.reply)
            again = from_json(to_json(self._ruled(version, some[row][1], decision, batch.numeric[row].tolist(), reply)))
            what = [field for field, value in again.items() if answered.get(field, value) != value]
            if batch.to_bytes(row) != decision.features:
                what.insert(0, "features")
            if what:
                yield Mismatch(decision.seq, decision.transaction_id, tuple(what))

    def _unruled(self, version: _Version, decision: Decision, checked: Checked) -> bool:
        """Whether what had a say in a decision cannot be had any more."""
        named = rules_version(decision)
        found = None if named is None else self._history.rulebook(named, version.scorer.schema, decision.model_version)
        if isinstance(found, str):
            checked.skipped[found] = checked.skipped.get(found, 0) + 1
        return isinstance(found, str)

    def _ruled(
        self, version: _Version, arrival: Arrival, decision: Decision, numbers: list[float], reply: ScoreReply
    ) -> ScoreReply:
        named = rules_version(decision)
        if named is None:
            return reply
        found = self._history.rulebook(named, version.scorer.schema, decision.model_version)
        assert not isinstance(found, str)  # those are left out
        return ruled(found[0], arrival, numbers, reply, found[1], decision.arrived_at)


class _Version:
    """A model version, ready to decide again."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.encoder = Encoder(scorer.schema, scorer.vocabulary)
        self.engine = Engine(scorer)


def _asked(decision: Decision) -> ScoreOptions:
    """The options that a decision was answered with, as far as its reply shows them."""
    reasons = from_json(decision.reply)["reasons"]
    return ScoreOptions(len(reasons), any(reason["verified"] is not None for reason in reasons))
