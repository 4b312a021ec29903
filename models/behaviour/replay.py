"""A history run through the kernel, entity by entity: features for every row, and the states they leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Floats, Int, Ints, compiled
from models.behaviour.events import Behaviour, Entity, EntityEvents
from models.behaviour.kernel import advance, relabel
from models.behaviour.keys import EntityKey
from models.behaviour.records import columns, copy_into, reset, size

#: An entity's state: int64, see :mod:`models.behaviour.kernel`.
State = NDArray[np.int64]
_SMALLEST, _BLOCK = 8, 64
_END = 2**63 - 1


@dataclass(frozen=True)
class Replayed:
    """What a history gives.

    Attributes:
        features: float64 [n, behaviour features]; NaN for an entity whose answer is TOO_LATE.
        status: int8 [n], the worst answer of the kernel for the row: DONE, APPROXIMATE or TOO_LATE.
        states: the entities' states after the last row; empty unless asked for.
    """

    features: NDArray[np.float64]
    status: NDArray[np.int8]
    states: dict[EntityKey, State]


def replay(
    behaviour: Behaviour,
    history: list[EntityEvents],
    *,
    before: Callable[[EntityKey], State | None] | None = None,
    keep: bool = False,
) -> Replayed:
    """Features of all rows, in the order given, which is taken for the order of arrival.

    Where it is told since when a fraud was known, its label arrives then, as a label arrives at the service: before the
    entity's next event that is later, at the end at the latest.

    Args:
        history: from :meth:`models.behaviour.events.Behaviour.of_columns`.
        before: the state an entity begins with; None begins anew.
        keep: return the states afterwards, too.
    """
    rows = len(history[0].group) if history else 0
    features = np.empty((rows, behaviour.width))
    status = np.zeros(rows, np.int8)
    states: dict[EntityKey, State] = {}
    for entity, events in zip(behaviour.entities, history, strict=True):
        states |= _replay_into(entity, events, features, entity.out.start, status, before, keep)
    return Replayed(features, status, states)


def replay_entity(
    entity: Entity,
    events: EntityEvents,
    *,
    before: Callable[[EntityKey], State | None] | None = None,
    keep: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int8], dict[EntityKey, State]]:
    """:func:`replay` of one kind of entity: features, status, states."""
    rows = len(events.group)
    features = np.empty((rows, int(entity.plan[P.OPS])))
    status = np.zeros(rows, np.int8)
    return features, status, _replay_into(entity, events, features, 0, status, before, keep)


def _replay_into(
    entity: Entity,
    events: EntityEvents,
    features: NDArray[np.float64],
    column: int,
    status: NDArray[np.int8],
    before: Callable[[EntityKey], State | None] | None,
    keep: bool,
) -> dict[EntityKey, State]:
    plan, groups = entity.plan, len(events.digests)
    order = np.argsort(events.group, kind="stable")
    counts = np.bincount(events.group, minlength=groups)
    begins = [before((entity.name, digest)) if before else None for digest in events.digests]
    first = np.concatenate([state for state in begins if state is not None] or [np.empty(0, np.int64)])
    lengths = np.array([0 if state is None else len(state) for state in begins], np.int64)
    held = np.array([0 if state is None else state[L.TAIL] - state[L.HEAD] for state in begins], np.int64)
    bulk = np.array([0 if state is None else state[L.BULK] for state in begins], np.int64)
    records = np.minimum(counts + held, L.EXACT)
    merges = (bulk > 0) | (counts + held > L.EXACT)
    room = np.zeros(groups, np.int64)
    if keep:
        room = plan[P.HEADER] + np.where(merges, columns(plan, 1), columns(plan, 0)) * records
    kept = np.empty(int(room.sum()), np.int64)
    used = np.zeros(groups, np.int64)
    known, labels, label_counts = _labels(events)
    _run(
        plan, events.events, order, counts, known, labels, label_counts, first, lengths, held, features, column, status,
        kept, room, used,
    )  # fmt: skip
    if not keep:
        return {}
    ends = np.cumsum(room)
    return {
        (entity.name, digest): kept[end - all_ : end - all_ + length].copy()
        for digest, end, all_, length in zip(events.digests, ends, room, used, strict=True)
    }


def _labels(events: EntityEvents) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Since when each row's fraud is known, the rows whose label arrives, by group and then time, and each group's."""
    groups = len(events.digests)
    if events.known is None:
        return np.full(len(events.group), L.NEVER), np.empty(0, np.int64), np.zeros(groups, np.int64)
    late = np.flatnonzero((events.events[:, L.E_FRAUD] != 0) & (events.known >= events.events[:, L.E_TIME]))
    labels = late[np.lexsort((events.known[late], events.group[late]))]
    return events.known, labels, np.bincount(events.group[labels], minlength=groups)


@compiled
def _label(
    state: Ints, plan: Ints, events: Ints, known: Ints, labels: Ints, taken_in: NDArray[np.bool_], clock: Int
) -> Int:
    """Let the labels arrive that were known before the clock: how many of them. Events yet to come bring their own."""
    i = np.int64(0)
    while i < len(labels) and known[labels[i]] < clock:
        if taken_in[labels[i]]:
            relabel(state, plan, events[labels[i], L.E_TIME], 1)
        i += 1
    return i


@compiled
def _run(  # noqa: PLR0912 - a group, a block, a row at a time
    plan: Ints,
    events: Ints,
    order: Ints,
    counts: Ints,
    known: Ints,
    labels: Ints,
    label_counts: Ints,
    first: Ints,
    lengths: Ints,
    held: Ints,
    features: Floats,
    column: Int,
    status: NDArray[np.int8],
    kept: Ints,
    room: Ints,
    used: Ints,
) -> None:
    small = np.empty(size(plan, L.CAPACITY, 0), np.int64)
    large = np.empty(size(plan, L.CAPACITY, 1), np.int64)
    # By the block, so that the waits for rows that are far apart in memory overlap.
    taken = np.empty((_BLOCK, events.shape[1]), np.int64)
    written = np.empty((_BLOCK, plan[P.OPS]))
    taken_in = np.zeros(len(events) if len(labels) else 0, np.bool_)
    at = begin = keep_at = label = 0
    for g in range(len(counts)):
        capacity = min(counts[g] + held[g], L.CAPACITY)
        state = small
        if lengths[g]:
            given = first[begin : begin + lengths[g]]
            begin += lengths[g]
            if given[L.BULK]:
                state, capacity = large, np.int64(L.CAPACITY)
            copy_into(given, state, plan, capacity, given[L.BULK])
        else:
            reset(state, plan, capacity, 0)
        last_label = label + label_counts[g]
        for start in range(at, at + counts[g], _BLOCK):
            rows = order[start : min(start + _BLOCK, at + counts[g])]
            for k in range(len(rows)):
                taken[k] = events[rows[k]]
            for k in range(len(rows)):
                if label_counts[g]:
                    clock = max(state[L.NEWEST], taken[k, L.E_TIME])
                    label += _label(state, plan, events, known, labels[label:last_label], taken_in, clock)
                    if known[rows[k]] >= clock:
                        taken[k, L.E_FRAUD] = 0
                answer = advance(state, plan, taken[k], written[k])
                if answer == L.FULL:
                    copy_into(state, large, plan, L.CAPACITY, 1)
                    state = large
                    answer = advance(state, plan, taken[k], written[k])
                if answer == L.TOO_LATE:
                    written[k] = np.nan
                elif label_counts[g]:
                    taken_in[rows[k]] = True
                if answer < 0 or (answer > 0 and status[rows[k]] == 0):
                    status[rows[k]] = answer
            for k in range(len(rows)):
                features[rows[k], column : column + plan[P.OPS]] = written[k]
        at += counts[g]
        _label(state, plan, events, known, labels[label:last_label], taken_in, _END)
        label = last_label
        if len(kept):
            count = state[L.TAIL] - state[L.HEAD]
            used[g] = size(plan, count, state[L.BULK])
            copy_into(state, kept[keep_at : keep_at + used[g]], plan, count, state[L.BULK])
            keep_at += room[g]


def packed(entity: Entity, state: State) -> State:
    """The same state in as little room as it needs, as it is saved."""
    held = int(state[L.TAIL] - state[L.HEAD])
    small = np.empty(size(entity.plan, held, state[L.BULK]), np.int64)
    copy_into(state, small, entity.plan, held, state[L.BULK])
    return small


def grown(entity: Entity, state: State) -> State:
    """The same state with more room, or, where it has all that there is, in the form that can merge records."""
    bulk = int(state[L.BULK] or state[L.TAIL] - state[L.HEAD] >= L.EXACT)
    wider = _SMALLEST
    while wider <= state[L.CAP]:
        wider *= 2
    if bulk or wider >= L.EXACT:
        wider = L.CAPACITY
    bigger = np.empty(size(entity.plan, wider, bulk), np.int64)
    copy_into(state, bigger, entity.plan, wider, bulk)
    return bigger


def empty(entity: Entity) -> State:
    """The state of an entity without events."""
    state = np.empty(size(entity.plan, _SMALLEST, 0), np.int64)
    reset(state, entity.plan, _SMALLEST, 0)
    return state


def content(entity: Entity, state: State) -> State:
    """What a state remembers, without its cache: equal for equal histories, however it came about."""
    small, plan = packed(entity, state), entity.plan
    held, width = int(small[L.CAP]), columns(plan, small[L.BULK])
    records = small[plan[P.HEADER] :].reshape(width, held)
    if plan[P.CODES]:
        records = np.delete(records, int(plan[P.MARKS]), axis=0)
    remembered: State = np.append(records.ravel(), small[L.BULK])
    return remembered


def step(entity: Entity, state: State, event: NDArray[np.int64], out: NDArray[np.float64]) -> tuple[State, int]:
    """:func:`models.behaviour.kernel.advance`, room being made where there is none.

    Returns:
        The state to go on with, and the answer.
    """
    answer = advance(state, entity.plan, event, out)
    while answer == L.FULL:
        state = grown(entity, state)
        answer = advance(state, entity.plan, event, out)
    return state, int(answer)
