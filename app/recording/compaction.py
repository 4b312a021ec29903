"""Compaction: the base takes in the log up to a place (see docs/decisions/0006-compaction.md).

Each step is one short transaction and leaves a whole store behind it: broken off anywhere, the same again finishes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from app.recording.rebuild import read_base, replay_log
from app.recording.recorder import Recorder
from app.recording.state_bytes import to_bytes
from app.store.contract import Store
from app.store.records import LogColumns, Origin
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey
from models.behaviour.replay import packed
from models.schema import TransactionSchema

T = TypeVar("T")


class Run(Protocol):
    """Does one piece of work in the thread that the recorder belongs to, between the transactions that wait there."""

    def __call__(self, work: Callable[[], T]) -> T: ...


def at_once(work: Callable[[], Any]) -> Any:
    """Do it in the caller's own thread."""
    return work()


def compact(recorder: Recorder, schema: TransactionSchema, until: int, run: Run = at_once) -> None:
    """Let the base take in the log up to a place, every state of which is saved first.

    Args:
        schema: of the model that the states belong to.
        until: a place that is taken.
    """
    store = recorder.store
    if store.compacted() >= until:
        return
    run(store.settle)
    while run(partial(recorder.states.save_some, until + 1)):
        pass
    origin = store.origin()
    assert origin is not None  # it began when the recorder was opened
    while (compacted := store.compacted()) < until:
        base, last = compacted_part(store, schema, origin, compacted, until, recorder.states.steps.compact)
        run(partial(store.compact, base, last))


def compacted_part(
    store: Store, schema: TransactionSchema, origin: Origin, after: int, until: int, most: int
) -> tuple[dict[EntityKey, bytes], int]:
    """What the base becomes with the next events of the log in it.

    Args:
        after: the last event that is in it.
        until: the last that is to be.
        most: events at once.

    Returns:
        The states that change, and the last event in them.
    """
    part = next(store.log_columns(after, most), None)
    part = None if part is None else _until(part, until)
    if part is None or not (part.seqs or part.labels):
        return {}, until
    behaviour = Behaviour(schema)
    entities = {entity.name: entity for entity in behaviour.entities}
    changed, _, _ = next(
        replay_log(store, schema, behaviour, origin, partial(read_base, store, behaviour.spec), after, [part])
    )
    last = max([*part.seqs[-1:], *(label.seq for label in part.labels[-1:])])
    base = {key: to_bytes(packed(entities[key[0]], state), behaviour.spec) for key, state in changed.items()}
    return base, last


def _until(part: LogColumns, last: int) -> LogColumns:
    """The events of a stretch up to a place."""
    end = bisect_right(part.seqs, last)
    labels = [label for label in part.labels if label.seq <= last]
    return LogColumns(part.seqs[:end], part.transaction_ids[:end], part.times[:end], part.bodies[:end], labels)
