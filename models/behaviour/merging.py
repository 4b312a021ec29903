"""Merging records of an entity with more events than are kept singly, by the idea of the exponential histogram.

Datar, Gionis, Indyk and Motwani (2002), "Maintaining stream statistics over sliding windows". A merged record enters
and leaves a window whole, at the time of its newest event; so a window is wrong by part of one record at most. Two
neighbours are merged only where 2^k times as many events as both have are newer: the error is 2^-k of a window at most.
"""

from __future__ import annotations

import numpy as np

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Int, Ints, compiled
from models.behaviour.records import column, columns, events_of
from models.behaviour.uint128 import add
from models.behaviour.windows import hidden, is_latest, mark_latest

_FINEST = 10
_FREED = 512  # records that a merge has to free, so that the next is not due at once
_MOST_HIDDEN = (1 << L.HIDDEN_BITS) - 1


@compiled
def _mergeable(both: Int, newer: Int, k: Int) -> bool:
    return bool(both << k <= newer)


@compiled
def _pairs(state: Ints, plan: Ints, k: Int, total: Int) -> Int:
    """How many pairs of neighbours would be merged."""
    pairs, newer, i = 0, total, state[L.HEAD]
    while i + 1 < state[L.TAIL]:
        first = events_of(state, plan, i)
        both = first + events_of(state, plan, i + 1)
        if _mergeable(both, newer - both, k):
            pairs, newer, i = pairs + 1, newer - both, i + 2
        else:
            newer, i = newer - first, i + 1
    return pairs


@compiled
def _merge_two(state: Ints, plan: Ints, older: Int, to: Int) -> None:
    """Add a record to the next one, whose time, place and codes stay, and write that one where it goes."""
    newer, at, cap = older + 1, plan[P.HEADER], state[L.CAP]
    for place in (P.EVENTS, P.FRAUD):
        if plan[place]:
            start = column(state, plan, place)
            state[start + newer] += state[start + older]
    state[at + L.AMOUNT * cap + newer] += state[at + L.AMOUNT * cap + older]
    if plan[P.SQUARES]:
        high = column(state, plan, P.SQUARES)
        low = high + cap
        square_high, square_low = add(
            np.uint64(state[high + older]),
            np.uint64(state[low + older]),
            np.uint64(state[high + newer]),
            np.uint64(state[low + newer]),
        )
        state[high + newer], state[low + newer] = np.int64(square_high), np.int64(square_low)
    if plan[P.LARGEST]:
        largest = column(state, plan, P.LARGEST)
        state[largest + newer] = max(state[largest + older], state[largest + newer])
    values = np.int64(0)
    for c in range(plan[P.CODES]):
        more = hidden(state, plan, older, c) + hidden(state, plan, newer, c) + is_latest(state, plan, older, c)
        values |= min(more, _MOST_HIDDEN) << (L.HIDDEN_BITS * c)
    if plan[P.HIDDEN]:
        state[column(state, plan, P.HIDDEN) + newer] = values
    _move_one(state, plan, newer, to)
    state[L.MERGED] = max(state[L.MERGED], state[at + to])


@compiled
def _move_one(state: Ints, plan: Ints, i: Int, to: Int) -> None:
    at, cap = plan[P.HEADER], state[L.CAP]
    for c in range(columns(plan, 1)):
        state[at + c * cap + to] = state[at + c * cap + i]


@compiled
def merge(state: Ints, plan: Ints) -> None:
    """Merge neighbours, with the largest k that frees enough. The cache is void afterwards."""
    if plan[P.CODES]:
        mark_latest(state, plan, state[L.HEAD], state[L.TAIL])
    total = np.int64(0)
    for i in range(state[L.HEAD], state[L.TAIL]):
        total += events_of(state, plan, i)
    k = _FINEST
    while k > 0 and _pairs(state, plan, k, total) < _FREED:
        k -= 1
    newer, i, to = total, state[L.HEAD], state[L.HEAD]
    while i < state[L.TAIL]:
        first = events_of(state, plan, i)
        both = first + events_of(state, plan, i + 1) if i + 1 < state[L.TAIL] else 2 * total
        if _mergeable(both, newer - both, k):
            _merge_two(state, plan, i, to)
            newer, i = newer - both, i + 2
        else:
            _move_one(state, plan, i, to)
            newer, i = newer - first, i + 1
        to += 1
    state[L.TAIL] = to
    state[L.FRONTIER] = L.NEVER
