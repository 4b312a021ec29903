"""A challenger: decides again what was recorded, with its own vocabulary, on recorded features or states of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from app.pseudonyms import Pseudonyms
from app.recording.answers import Featured
from app.recording.engine import Engine
from app.recording.startup import snapshot_of
from app.requests.arrival import Arrival, ScoreOptions
from app.requests.encoder import Encoder
from app.rules.replies import told
from app.shadow.results import Shadowed
from app.store.contract import Store
from app.store.records import Decision, LabelEvent
from models.behaviour.events import Behaviour
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State
from models.bundle import read_manifest
from models.challenge import fresh_from
from models.errors import CounterfoilError
from models.registry import Registry
from models.rows import Batch
from models.scorer import Scorer
from models.thresholds import DECISIONS

_NO_REASONS = ScoreOptions(0)
_CODES = {decision: code for code, decision in enumerate(DECISIONS)}


class Challenger:
    """One version. Where its ``[entity]`` sections are those of the version that decided, the behaviour features are
    those that were recorded; else its own states are made from the log, from those of its training on.

    Args:
        registry: holds the versions that decided.
        store: whose log it is.
        pseudonyms: of the store.

    Attributes:
        version: its name; ``schema``: of the transactions, as it reads them.
        replays: whether it needs the log from its beginning, for states of its own.
    """

    def __init__(self, scorer: Scorer, registry: Registry, store: Store, pseudonyms: Pseudonyms) -> None:
        self.version = scorer.manifest.version
        self.schema = scorer.schema
        self._scorer, self._registry = scorer, registry
        self._encoder, self._engine = Encoder(scorer.schema, scorer.vocabulary), Engine(scorer)
        behaviour, origin = self._engine.behaviour, store.origin()
        self.replays = bool(behaviour) and (origin is None or origin.spec != behaviour.spec)
        self._states: dict[EntityKey, State] = {}
        self._as_of: int | None = None
        snapshot = snapshot_of(scorer) if self.replays else None
        if snapshot is not None:
            self._states |= pseudonyms.states(behaviour, snapshot.states)
            self._as_of = snapshot.as_of
        self._entities = {entity.name: entity for entity in behaviour.entities}
        #: Of versions that decided: how many numeric features theirs had; None where theirs are others than these.
        self._recorded: dict[str, int | None] = {}
        manifest = scorer.manifest
        self._born = int(datetime.fromisoformat(manifest.created_at).timestamp() * 1e6)
        self._fresh = fresh_from(manifest) if manifest.training.calibration.end is not None else None

    def decide(self, events: Sequence[Decision | LabelEvent], store: Store, done: set[int]) -> list[Shadowed]:
        """Decide again what is younger than all that the version has learned from; move its states on by all events.

        Args:
            events: of the log, in their order.
            done: places that it has decided already.
        """
        chosen: list[tuple[Decision, Arrival, Featured | None]] = []
        for event in events:
            if isinstance(event, LabelEvent):
                self._label(event, store)
                continue
            wanted = event.seq not in done and self._learned_before(event)
            if wanted or self.replays:
                arrival = self._encoder.logged(event, _NO_REASONS)
                features = self._features(event, arrival)
                if wanted:
                    chosen.append((event, arrival, features))
        return list(self._scored(chosen))

    def _learned_before(self, decision: Decision) -> bool:
        return decision.arrived_at >= self._born if self._fresh is None else decision.time >= self._fresh

    def _features(self, decision: Decision, arrival: Arrival) -> Featured | None:
        """None where they are not known."""
        if self.replays:
            if self._as_of is not None and decision.time <= self._as_of:
                return None  # its states have that already
            return self._engine.advance(arrival, {}, self._states, timely=False)
        width = self._engine.behaviour.width
        if not width:
            return Featured(np.empty(0), approximate=False)
        numbers = self._numbers(decision.model_version)
        if numbers is None:
            return None
        return Featured(Batch.from_bytes(decision.features, numbers).numeric[0, numbers - width :], approximate=False)

    def _numbers(self, version: str) -> int | None:
        if version not in self._recorded:
            try:
                schema = read_manifest(self._registry.folder(version)).transaction_schema
            except CounterfoilError:
                self._recorded[version] = None
            else:
                same = Behaviour(schema).spec == self._engine.behaviour.spec
                self._recorded[version] = len(schema.numeric) if same else None
        return self._recorded[version]

    def _label(self, label: LabelEvent, store: Store) -> None:
        decision = store.find(label.transaction_id) if self.replays and label.change else None
        if decision is None or (self._as_of is not None and decision.time <= self._as_of):
            return
        for key, _ in self._encoder.logged(decision, _NO_REASONS).events:
            if key in self._states:
                relabel(self._states[key], self._entities[key[0]].plan, decision.time, label.change)

    def _scored(self, chosen: Sequence[tuple[Decision, Arrival, Featured | None]]) -> Iterator[Shadowed]:
        known = [(arrival, found) for _, arrival, found in chosen if found is not None]
        batch = self._engine.batch([arrival for arrival, _ in known], [found for _, found in known])
        scores = self._scorer.score(batch) if known else None
        row = 0
        for decision, _, found in chosen:
            score = code = None
            if found is not None and scores is not None:
                score, code = float(scores.score[row]), int(scores.decision[row])
                row += 1
            yield Shadowed(
                decision.seq,
                decision.time,
                decision.arrived_at,
                decision.model_version,
                decision.score,
                _CODES[told(decision).model_decision],  # type: ignore[index]
                score,
                code,
            )
