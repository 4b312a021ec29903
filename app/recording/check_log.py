"""Recompute served decisions from the log and tell every difference between what was answered and what follows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice, takewhile

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json, to_json

from app.recording.recovery import counts, events_of
from app.replies import score_reply
from app.requests.bodies import Wanted
from app.requests.model import RequestModel
from app.store.contract import Store
from app.store.records import Decision, LabelEvent, Origin
from models.behaviour.events import Behaviour
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty, step
from models.errors import CounterfoilError, InvalidInput
from models.registry import Registry
from models.rows import Batch
from models.scorer import Scorer

_CHUNK = 1_024
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

    Raises:
        InvalidInput: the store is empty.
    """

    def __init__(self, store: Store, registry: Registry, scorer: Scorer) -> None:
        origin = store.origin()
        if origin is None:
            raise InvalidInput("the store is empty: nothing was answered yet")
        self._schema = scorer.schema
        self._behaviour = Behaviour(scorer.schema)
        if origin.spec != self._behaviour.spec:
            raise InvalidInput("the store's states belong to a model with other [entity] sections; use --model")
        self._store = store
        self._registry = registry
        self._origin: Origin = origin
        self._compacted = store.compacted()
        self._scorers: dict[str, Scorer | str] = {}
        self._states: dict[EntityKey, State] = {}

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
        for chunk in _chunks(self._store.log(self._compacted)):
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
        scorer = self._scorer(decision.model_version)
        if isinstance(scorer, str):
            raise InvalidInput(f"{scorer}: {decision.model_version}")
        checked = Checked()
        for chunk in _chunks(self._store.log(self._compacted, keys=decision.keys)):
            until = [event for event in chunk if event.seq <= decision.seq]
            self._check(until, 0, checked, only=decision.seq)
        features = Batch.from_bytes(decision.features, len(scorer.schema.numeric)).numeric[0]
        names = [feature.name for feature in scorer.schema.behaviour]
        values = dict(zip(names, features[len(features) - len(names) :].tolist(), strict=True))
        return decision, checked, values

    def _scorer(self, version: str) -> Scorer | str:
        """The version, or why it cannot be used."""
        if version not in self._scorers:
            try:
                scorer = Scorer.load(self._registry.folder(version))
            except CounterfoilError:
                self._scorers[version] = "the model version is gone"
            else:
                same = Behaviour(scorer.schema).spec == self._origin.spec
                self._scorers[version] = scorer if same else "the model version has other [entity] sections"
        return self._scorers[version]

    def _check(self, chunk: list[Decision | LabelEvent], since: int, checked: Checked, only: int | None = None) -> None:
        """Move the states on by a part of the log; recompute the decisions that are asked for."""
        decisions = [event for event in chunk if isinstance(event, Decision)]
        position = {decision.seq: i for i, decision in enumerate(decisions)}
        time = np.array([decision.time for decision in decisions], np.int64)
        bodies = [decision.body for decision in decisions]
        events = events_of(self._schema, self._behaviour, bodies, time) if decisions else []
        self._load(chunk)
        for event in chunk:
            if isinstance(event, LabelEvent):
                self._relabel(event)
                continue
            features = self._advance([part.events[position[event.seq]] for part in events], event)
            wanted = event.arrived_at >= since if only is None else event.seq == only
            if wanted and features is not None:
                self._compare(event, features, checked)

    def _load(self, chunk: list[Decision | LabelEvent]) -> None:
        found = [event if isinstance(event, Decision) else self._labelled(event) for event in chunk]
        keys = {key for decision in found if decision for key in decision.keys}
        missing = sorted(key for key in keys if key not in self._states)
        base = self._store.base_states(missing)
        entities = {entity.name: entity for entity in self._behaviour.entities}
        for key in missing:
            content = base.get(key)
            self._states[key] = empty(entities[key[0]]) if content is None else np.frombuffer(content, np.int64).copy()

    def _advance(self, events: list[NDArray[np.int64]], decision: Decision) -> tuple[NDArray[np.float64], bool] | None:
        """The transaction's behaviour features, and whether they are near, not exact; None where the base has it."""
        if not counts(self._origin, np.array([decision.seq]), np.array([decision.time]))[0]:
            return None
        features, merged = np.empty(self._behaviour.width), False
        for entity, event in zip(self._behaviour.entities, events, strict=True):
            key = next(key for key in decision.keys if key[0] == entity.name)
            self._states[key], status = step(entity, self._states[key], event, features[entity.out])
            merged |= status > 0
        return features, merged

    def _relabel(self, label: LabelEvent) -> None:
        decision = self._labelled(label)
        for entity in self._behaviour.entities:
            for key in decision.keys if decision else ():
                if key[0] == entity.name and key in self._states:
                    relabel(self._states[key], entity.plan, decision.time if decision else 0, label.change)

    def _labelled(self, label: LabelEvent) -> Decision | None:
        """The decision that a label changes anything for; it may be older than what is replayed."""
        return self._store.find(label.transaction_id) if label.change else None

    def _compare(self, decision: Decision, behaviour: tuple[NDArray[np.float64], bool], checked: Checked) -> None:
        scorer = self._scorer(decision.model_version)
        if isinstance(scorer, str):
            checked.skipped[scorer] = checked.skipped.get(scorer, 0) + 1
            return
        schema = scorer.schema
        row = from_json(decision.body)
        row |= {name: math.nan for name in schema.sent_numeric if row[name] is None}
        batch = RequestModel(schema, scorer.vocabulary, 1).batch([row])
        if self._behaviour:
            batch = batch.with_behaviour(behaviour[0][None])
        answered = from_json(decision.reply)
        verify = any(reason["verified"] is not None for reason in answered["reasons"])
        want = Wanted(len(answered["reasons"]), verify)
        again = score_reply(scorer, batch, scorer.score(batch), 0, want, decision.transaction_id, behaviour[1])
        checked.decisions += 1
        what = [name for name, value in from_json(to_json(again)).items() if answered.get(name, value) != value]
        if batch.to_bytes(0) != decision.features:
            what.insert(0, "features")
        if what:
            checked.mismatches.append(Mismatch(decision.seq, decision.transaction_id, tuple(what)))


def _chunks(log: Iterator[Decision | LabelEvent]) -> Iterator[list[Decision | LabelEvent]]:
    while chunk := list(islice(log, _CHUNK)):
        yield chunk
