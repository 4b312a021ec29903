"""What training's code makes of transactions in their order of arrival, and a log beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from app.recording.rebuild import read_saved, rebuild
from app.recording.startup import snapshot_of
from app.store.open import open_store
from app.store.records import Decision, LabelEvent
from models.behaviour.events import Behaviour, EntityEvents
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, content, replay
from models.parsing import parse_rows
from models.rows import Batch, ParsedRows
from models.schema import TransactionSchema
from models.scorer import Scorer
from tests.app.traffic import Payments


@dataclass
class Offline:
    """What training's code makes of transactions in their order of arrival.

    Attributes:
        batch: features as the detector takes them, behaviour last among the numeric ones.
        states: of the entities that changed.
    """

    batch: Batch
    states: dict[EntityKey, State] = field(default_factory=dict)


def offline(
    scorer: Scorer,
    rows: ParsedRows,
    seqs: Sequence[int],
    labels: Sequence[LabelEvent],
    ids: Sequence[str],
    *,
    refuse: bool = True,
) -> Offline:
    """Run transactions through :func:`models.behaviour.replay.replay` from the model's snapshot on.

    Args:
        rows: in their order of arrival; ``seqs`` and ``ids`` are theirs.
        labels: in theirs.
        refuse: fail where a row comes too late: it should not have been recorded.
    """
    behaviour = Behaviour(scorer.schema)
    snapshot = snapshot_of(scorer)
    assert snapshot is not None
    states: dict[EntityKey, State] = {}
    events = behaviour.of_columns(rows.time, rows.numeric, rows.text, rows.entity)
    row_of = {transaction_id: row for row, transaction_id in enumerate(ids)}
    features = np.empty((len(seqs), behaviour.width))

    def before(key: EntityKey) -> State | None:
        return states.get(key, snapshot.states.get(key))

    def forward(start: int, end: int) -> None:
        part = [_part(one, slice(start, end)) for one in events]
        replayed = replay(behaviour, part, before=before, keep=True)
        assert not refuse or (replayed.status >= 0).all(), "a recorded transaction comes too late offline"
        features[start:end] = replayed.features
        states.update(replayed.states)

    done = 0
    fraud: set[str] = set()
    for label in labels:
        end = int(np.searchsorted(seqs, label.seq))
        if end > done:
            forward(done, end)
            done = end
        change = int(label.label == "fraud") - int(label.transaction_id in fraud)
        assert change == label.change
        (fraud.add if label.label == "fraud" else fraud.discard)(label.transaction_id)
        row = row_of[label.transaction_id]
        for entity, one in zip(behaviour.entities, events, strict=True):
            key = (entity.name, one.digests[one.group[row]])
            if change and (state := before(key)) is not None:
                states[key] = state.copy()
                relabel(states[key], entity.plan, int(rows.time[row]), change)
    if done < len(seqs):
        forward(done, len(seqs))
    return Offline(rows.batch(scorer.vocabulary).with_behaviour(features), states)


def _part(events: EntityEvents, rows: slice) -> EntityEvents:
    present, group = np.unique(events.group[rows], return_inverse=True)
    return EntityEvents(events.name, group, [events.digests[one] for one in present.tolist()], events.events[rows])


@dataclass(frozen=True)
class Comparison:
    """Recorded decisions beside offline ones.

    Attributes:
        features: compared in all, behaviour and others.
        differing: features that are not equal bit for bit.
        score: the largest difference of scores; ``error`` that of reconstruction errors, relative.
    """

    rows: int
    features: int
    differing: int
    score: float
    error: float


def compare(scorer: Scorer, decisions: Sequence[Decision], again: Offline) -> Comparison:
    """Count what differs."""
    recorded = np.array([np.frombuffer(one.features, np.int64) for one in decisions])
    computed = np.hstack(
        [again.batch.numeric.view(np.int64), again.batch.categorical, again.batch.time[:, None]],
    )
    scores = scorer.score(again.batch)
    error = np.array([one.error for one in decisions])
    return Comparison(
        len(decisions),
        recorded.size,
        int((recorded != computed).sum()),
        float(np.abs(scores.score - np.array([one.score for one in decisions])).max()),
        float((np.abs(scores.error - error) / np.maximum(error, 1e-12)).max()),
    )


def in_order(frame: pl.DataFrame, schema: TransactionSchema, ids: Sequence[str]) -> ParsedRows:
    """The rows with these ids, in this order, as a table is read."""
    asked = pl.DataFrame({schema.id: ids})
    parsed = parse_rows(schema, asked.join(frame, on=schema.id, how="left", maintain_order="left"))
    assert not parsed.errors
    return parsed


def shifted(rows: ParsedRows, share: float, seed: int) -> ParsedRows:
    """A planted bug: some timestamps one second later."""
    time = rows.time.copy()
    some = np.random.default_rng(seed).choice(len(time), max(3, round(share * len(time))), replace=False)
    time[some] += 1_000_000
    return replace(rows, time=time)


def same_states(schema: TransactionSchema, one: Mapping[EntityKey, State], other: Mapping[EntityKey, State]) -> bool:
    """Whether two sets of states remember the same."""
    entities = {entity.name: entity for entity in Behaviour(schema).entities}
    return one.keys() == other.keys() and all(
        np.array_equal(content(entities[key[0]], state), content(entities[key[0]], other[key]))
        for key, state in one.items()
    )


@dataclass(frozen=True)
class Logged:
    """A log beside what training's code makes of it.

    Attributes:
        rows: of the decisions, as a table is read.
        offline: decisions beside offline ones.
        states: how many there are.
        same_states: those saved, those that the log makes and those of the offline path remember the same.
    """

    decisions: list[Decision]
    labels: list[LabelEvent]
    rows: ParsedRows
    offline: Comparison
    states: int
    same_states: bool

    def again(self, scorer: Scorer, rows: ParsedRows, *, refuse: bool = True) -> Offline:
        """Its decisions offline, with these rows."""
        return _again(scorer, rows, self.decisions, self.labels, refuse)


def read_log(payments: Payments, url: str, frame: pl.DataFrame | None = None) -> Logged:
    """Read a store's log and do the same offline.

    Args:
        frame: the payments as sent, where they were changed.
    """
    schema = payments.schema
    with closing(open_store(url, read_only=True)) as store:
        log = list(store.log())
        decisions = [event for event in log if isinstance(event, Decision)]
        labels = [event for event in log if isinstance(event, LabelEvent)]
        sent = payments.frame if frame is None else frame
        rows = in_order(sent, schema, [one.transaction_id or "" for one in decisions])
        again = _again(payments.scorer, rows, decisions, labels, True)
        origin = store.origin()
        assert origin is not None
        rebuilt = rebuild(store, schema, origin)
        saved = {key: one.state for key, one in read_saved(store, origin.spec, sorted(rebuilt)).items()}
    same = same_states(schema, rebuilt, saved) and same_states(schema, rebuilt, again.states)
    return Logged(decisions, labels, rows, compare(payments.scorer, decisions, again), len(rebuilt), same)


def _again(
    scorer: Scorer, rows: ParsedRows, decisions: Sequence[Decision], labels: Sequence[LabelEvent], refuse: bool
) -> Offline:
    ids = [one.transaction_id or "" for one in decisions]
    return offline(scorer, rows, [one.seq for one in decisions], labels, ids, refuse=refuse)
