"""The cache of a state: what each window contains just before one moment, the frontier.

Moving the frontier forward adds and drops single records; moving it back, for a late event, counts anew. Sums are whole
numbers, so both ways give the same.
"""

from __future__ import annotations

import numpy as np

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Int, Ints, compiled
from models.behaviour.records import column, events_of, first_not_before, largest_of, latest_with, squares_of
from models.behaviour.uint128 import add, subtract

_HOUR = 3_600_000_000
_HIDDEN_MASK = (1 << L.HIDDEN_BITS) - 1


@compiled
def hour_of(t: Int) -> Int:
    """The hour of day, UTC."""
    return (t // _HOUR) % L.HOURS


@compiled
def hidden(state: Ints, plan: Ints, i: Int, code: Int) -> Int:
    """How many values of a code column are in record i besides its newest event's, and were in no later one."""
    if state[L.BULK]:
        return (state[column(state, plan, P.HIDDEN) + i] >> (L.HIDDEN_BITS * code)) & _HIDDEN_MASK
    return 0


@compiled
def is_latest(state: Ints, plan: Ints, i: Int, code: Int) -> Int:
    """1 where record i is marked: no record between it and the frontier has its value in this code column, else 0."""
    return (state[plan[P.HEADER] + plan[P.MARKS] * state[L.CAP] + i] >> code) & 1


@compiled
def _add(state: Ints, plan: Ints, window: Int, i: Int) -> None:
    state[window + L.N] += events_of(state, plan, i)
    state[window + L.S1] += state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]
    if plan[P.SQUARES]:
        high, low = squares_of(state, plan, i)
        high, low = add(np.uint64(state[window + L.S2_HIGH]), np.uint64(state[window + L.S2_LOW]), high, low)
        state[window + L.S2_HIGH], state[window + L.S2_LOW] = np.int64(high), np.int64(low)
    if plan[P.LARGEST]:
        state[window + L.LARGEST] = max(state[window + L.LARGEST], largest_of(state, plan, i))


@compiled
def _drop(state: Ints, plan: Ints, window: Int, i: Int) -> None:
    state[window + L.N] -= events_of(state, plan, i)
    state[window + L.S1] -= state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]
    if plan[P.SQUARES]:
        high, low = squares_of(state, plan, i)
        high, low = subtract(np.uint64(state[window + L.S2_HIGH]), np.uint64(state[window + L.S2_LOW]), high, low)
        state[window + L.S2_HIGH], state[window + L.S2_LOW] = np.int64(high), np.int64(low)


@compiled
def _find_largest(state: Ints, plan: Ints, window: Int) -> None:
    found = np.int64(L.NEVER)
    for i in range(state[window + L.LO], state[L.HI]):
        found = max(found, largest_of(state, plan, i))
    state[window + L.LARGEST] = found


@compiled
def _enter(state: Ints, plan: Ints) -> None:
    """The record at the frontier is now before it: count it in every window."""
    i = state[L.HI]
    state[L.HI] = i + 1
    windows, codes, at, step = plan[P.WINDOWS], plan[P.CODES], plan[P.HEADER], plan[P.STEP]
    longest = L.WINDOWS_AT + (windows - 1) * step
    for w in range(windows):
        _add(state, plan, L.WINDOWS_AT + w * step, i)
    if plan[P.HISTOGRAM]:
        state[plan[P.HISTOGRAM] + hour_of(state[at + i])] += events_of(state, plan, i)
    marks = at + plan[P.MARKS] * state[L.CAP]
    for c in range(codes):
        value = state[marks + (1 + c) * state[L.CAP] + i]
        before = latest_with(state, plan, c, value, state[longest + L.LO], i)
        if before >= 0:
            state[marks + before] &= ~(1 << c)
        more = 1 + hidden(state, plan, i, c)
        for w in range(windows):
            window = L.WINDOWS_AT + w * step
            state[window + L.DISTINCTS + c] += more - (before >= state[window + L.LO])
    if codes:
        state[marks + i] = (1 << codes) - 1


@compiled
def _leave(state: Ints, plan: Ints, t: Int) -> None:
    """Drop from every window what is too old at t."""
    windows, codes, at, step = plan[P.WINDOWS], plan[P.CODES], plan[P.HEADER], plan[P.STEP]
    end = state[L.HI]
    for w in range(windows):
        window = L.WINDOWS_AT + w * step
        oldest = t - plan[P.LISTS + w]
        first = state[window + L.LO]
        i, stale = first, False
        while i < end and state[at + i] < oldest:
            _drop(state, plan, window, i)
            if plan[P.LARGEST]:
                stale |= largest_of(state, plan, i) == state[window + L.LARGEST]
            for c in range(codes):
                state[window + L.DISTINCTS + c] -= is_latest(state, plan, i, c) + hidden(state, plan, i, c)
            if plan[P.HISTOGRAM] and w == windows - 1:
                state[plan[P.HISTOGRAM] + hour_of(state[at + i])] -= events_of(state, plan, i)
            i += 1
        state[window + L.LO] = i
        if stale:
            _find_largest(state, plan, window)


@compiled
def _move_delayed(state: Ints, plan: Ints, until: Int) -> None:
    """Bring the delayed windows to their frontier, which is not before the last one."""
    at, end = plan[P.HEADER], state[L.HI_DELAYED]
    fraud = at + plan[P.FRAUD] * state[L.CAP]
    first = end
    while end < state[L.TAIL] and state[at + end] < until:
        end += 1
    state[L.HI_DELAYED] = end
    for d in range(plan[P.DELAYED]):
        window = plan[P.DELAYED_AT] + d * L.D_SIZE
        for i in range(first, end):
            state[window + L.D_N] += events_of(state, plan, i)
            state[window + L.D_FRAUD] += state[fraud + i]
        oldest = until - plan[P.LISTS + d]
        i = state[window + L.D_LO]
        while i < end and state[at + i] < oldest:
            state[window + L.D_N] -= events_of(state, plan, i)
            state[window + L.D_FRAUD] -= state[fraud + i]
            i += 1
        state[window + L.D_LO] = i


@compiled
def mark_latest(state: Ints, plan: Ints, first: Int, end: Int) -> None:
    """Mark anew, in [first, end), the last record with every value."""
    marks = plan[P.HEADER] + plan[P.MARKS] * state[L.CAP]
    state[marks + first : marks + end] = 0
    slots = 16
    while slots < 2 * (end - first):
        slots *= 2
    for c in range(plan[P.CODES]):
        column = marks + (1 + c) * state[L.CAP]
        seen = np.full(slots, -1, np.int64)
        for i in range(end - 1, first - 1, -1):
            value = state[column + i]
            slot = (value ^ (value >> 32)) & (slots - 1)
            while seen[slot] >= 0 and state[column + seen[slot]] != value:
                slot = (slot + 1) & (slots - 1)
            if seen[slot] < 0:
                seen[slot] = i
                state[marks + i] |= 1 << c


@compiled
def _count_anew(state: Ints, plan: Ints, t: Int) -> None:
    """Bring the windows to a frontier from nothing."""
    windows, codes, at, step = plan[P.WINDOWS], plan[P.CODES], plan[P.HEADER], plan[P.STEP]
    end = first_not_before(state, plan, t)
    state[L.HI] = end
    if codes:
        mark_latest(state, plan, min(first_not_before(state, plan, t - plan[P.LISTS + windows - 1]), end), end)
    if plan[P.HISTOGRAM]:
        state[plan[P.HISTOGRAM] : plan[P.HISTOGRAM] + L.HOURS] = 0
    for w in range(windows):
        window = L.WINDOWS_AT + w * step
        state[window : window + step] = 0
        state[window + L.LO] = min(first_not_before(state, plan, t - plan[P.LISTS + w]), end)
        state[window + L.LARGEST] = L.NEVER
        for i in range(state[window + L.LO], end):
            _add(state, plan, window, i)
            for c in range(codes):
                state[window + L.DISTINCTS + c] += is_latest(state, plan, i, c) + hidden(state, plan, i, c)
            if plan[P.HISTOGRAM] and w == windows - 1:
                state[plan[P.HISTOGRAM] + hour_of(state[at + i])] += events_of(state, plan, i)
    if plan[P.DELAYED]:
        until = t - plan[P.DELAY]
        state[L.HI_DELAYED] = min(first_not_before(state, plan, until - plan[P.LISTS + windows - 1]), end)
        for d in range(plan[P.DELAYED]):
            window = plan[P.DELAYED_AT] + d * L.D_SIZE
            state[window : window + L.D_SIZE] = 0
            state[window + L.D_LO] = state[L.HI_DELAYED]
        _move_delayed(state, plan, until)


@compiled
def move(state: Ints, plan: Ints, t: Int) -> None:
    """Bring the cache to the frontier t."""
    if t < state[L.FRONTIER] or state[L.FRONTIER] == L.NEVER:
        _count_anew(state, plan, t)
    else:
        at, tail = plan[P.HEADER], state[L.TAIL]
        while state[L.HI] < tail and state[at + state[L.HI]] < t:
            _enter(state, plan)
        if plan[P.DELAYED]:
            _move_delayed(state, plan, t - plan[P.DELAY])
        _leave(state, plan, t)
    state[L.FRONTIER] = t
