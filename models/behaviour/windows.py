"""The cache of a state: what each window contains just before one moment, the frontier.

Moving the frontier forward adds and drops single records; moving it back, for a late event, counts anew. Sums are whole
numbers, so both ways give the same.
"""

from __future__ import annotations

import numpy as np

from models.behaviour.compiled import Int, Ints, compiled
from models.behaviour.layout import (
    AMOUNT,
    BULK,
    CAP,
    D_FRAUD,
    D_LO,
    D_N,
    D_SIZE,
    DISTINCTS,
    FRONTIER,
    HI,
    HI_DELAYED,
    HIDDEN_BITS,
    HOURS,
    LARGEST,
    LO,
    NEVER,
    S1,
    S2_HIGH,
    S2_LOW,
    TAIL,
    WINDOWS_AT,
    N,
)
from models.behaviour.plan import (
    P_CODES,
    P_DELAY,
    P_DELAYED,
    P_DELAYED_AT,
    P_FRAUD,
    P_HEADER,
    P_HIDDEN,
    P_HISTOGRAM,
    P_LARGEST,
    P_LISTS,
    P_MARKS,
    P_SQUARES,
    P_STEP,
    P_WINDOWS,
)
from models.behaviour.records import column, events_of, first_not_before, largest_of, latest_with, squares_of
from models.behaviour.uint128 import add, subtract

_HOUR = 3_600_000_000
_HIDDEN_MASK = (1 << HIDDEN_BITS) - 1


@compiled
def hour_of(t: Int) -> Int:
    """The hour of day, UTC."""
    return (t // _HOUR) % HOURS


@compiled
def hidden(state: Ints, plan: Ints, i: Int, code: Int) -> Int:
    """How many values of a code column are in record i besides its newest event's, and were in no later one."""
    if state[BULK]:
        return (state[column(state, plan, P_HIDDEN) + i] >> (HIDDEN_BITS * code)) & _HIDDEN_MASK
    return 0


@compiled
def is_latest(state: Ints, plan: Ints, i: Int, code: Int) -> Int:
    """1 where record i is marked: no record between it and the frontier has its value in this code column, else 0."""
    return (state[plan[P_HEADER] + plan[P_MARKS] * state[CAP] + i] >> code) & 1


@compiled
def _add(state: Ints, plan: Ints, window: Int, i: Int) -> None:
    state[window + N] += events_of(state, plan, i)
    state[window + S1] += state[plan[P_HEADER] + AMOUNT * state[CAP] + i]
    if plan[P_SQUARES]:
        high, low = squares_of(state, plan, i)
        high, low = add(np.uint64(state[window + S2_HIGH]), np.uint64(state[window + S2_LOW]), high, low)
        state[window + S2_HIGH], state[window + S2_LOW] = np.int64(high), np.int64(low)
    if plan[P_LARGEST]:
        state[window + LARGEST] = max(state[window + LARGEST], largest_of(state, plan, i))


@compiled
def _drop(state: Ints, plan: Ints, window: Int, i: Int) -> None:
    state[window + N] -= events_of(state, plan, i)
    state[window + S1] -= state[plan[P_HEADER] + AMOUNT * state[CAP] + i]
    if plan[P_SQUARES]:
        high, low = squares_of(state, plan, i)
        high, low = subtract(np.uint64(state[window + S2_HIGH]), np.uint64(state[window + S2_LOW]), high, low)
        state[window + S2_HIGH], state[window + S2_LOW] = np.int64(high), np.int64(low)


@compiled
def _find_largest(state: Ints, plan: Ints, window: Int) -> None:
    found = np.int64(NEVER)
    for i in range(state[window + LO], state[HI]):
        found = max(found, largest_of(state, plan, i))
    state[window + LARGEST] = found


@compiled
def _enter(state: Ints, plan: Ints) -> None:
    """The record at the frontier is now before it: count it in every window."""
    i = state[HI]
    state[HI] = i + 1
    windows, codes, at, step = plan[P_WINDOWS], plan[P_CODES], plan[P_HEADER], plan[P_STEP]
    longest = WINDOWS_AT + (windows - 1) * step
    for w in range(windows):
        _add(state, plan, WINDOWS_AT + w * step, i)
    if plan[P_HISTOGRAM]:
        state[plan[P_HISTOGRAM] + hour_of(state[at + i])] += events_of(state, plan, i)
    marks = at + plan[P_MARKS] * state[CAP]
    for c in range(codes):
        value = state[marks + (1 + c) * state[CAP] + i]
        before = latest_with(state, plan, c, value, state[longest + LO], i)
        if before >= 0:
            state[marks + before] &= ~(1 << c)
        more = 1 + hidden(state, plan, i, c)
        for w in range(windows):
            window = WINDOWS_AT + w * step
            state[window + DISTINCTS + c] += more - (before >= state[window + LO])
    if codes:
        state[marks + i] = (1 << codes) - 1


@compiled
def _leave(state: Ints, plan: Ints, t: Int) -> None:
    """Drop from every window what is too old at t."""
    windows, codes, at, step = plan[P_WINDOWS], plan[P_CODES], plan[P_HEADER], plan[P_STEP]
    end = state[HI]
    for w in range(windows):
        window = WINDOWS_AT + w * step
        oldest = t - plan[P_LISTS + w]
        first = state[window + LO]
        i, stale = first, False
        while i < end and state[at + i] < oldest:
            _drop(state, plan, window, i)
            if plan[P_LARGEST]:
                stale |= largest_of(state, plan, i) == state[window + LARGEST]
            for c in range(codes):
                state[window + DISTINCTS + c] -= is_latest(state, plan, i, c) + hidden(state, plan, i, c)
            if plan[P_HISTOGRAM] and w == windows - 1:
                state[plan[P_HISTOGRAM] + hour_of(state[at + i])] -= events_of(state, plan, i)
            i += 1
        state[window + LO] = i
        if stale:
            _find_largest(state, plan, window)


@compiled
def _move_delayed(state: Ints, plan: Ints, until: Int) -> None:
    """Bring the delayed windows to their frontier, which is not before the last one."""
    at, end = plan[P_HEADER], state[HI_DELAYED]
    fraud = at + plan[P_FRAUD] * state[CAP]
    first = end
    while end < state[TAIL] and state[at + end] < until:
        end += 1
    state[HI_DELAYED] = end
    for d in range(plan[P_DELAYED]):
        window = plan[P_DELAYED_AT] + d * D_SIZE
        for i in range(first, end):
            state[window + D_N] += events_of(state, plan, i)
            state[window + D_FRAUD] += state[fraud + i]
        oldest = until - plan[P_LISTS + d]
        i = state[window + D_LO]
        while i < end and state[at + i] < oldest:
            state[window + D_N] -= events_of(state, plan, i)
            state[window + D_FRAUD] -= state[fraud + i]
            i += 1
        state[window + D_LO] = i


@compiled
def mark_latest(state: Ints, plan: Ints, first: Int, end: Int) -> None:
    """Mark anew, in [first, end), the last record with every value."""
    marks = plan[P_HEADER] + plan[P_MARKS] * state[CAP]
    state[marks + first : marks + end] = 0
    slots = 16
    while slots < 2 * (end - first):
        slots *= 2
    for c in range(plan[P_CODES]):
        column = marks + (1 + c) * state[CAP]
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
    windows, codes, at, step = plan[P_WINDOWS], plan[P_CODES], plan[P_HEADER], plan[P_STEP]
    end = first_not_before(state, plan, t)
    state[HI] = end
    if codes:
        mark_latest(state, plan, min(first_not_before(state, plan, t - plan[P_LISTS + windows - 1]), end), end)
    if plan[P_HISTOGRAM]:
        state[plan[P_HISTOGRAM] : plan[P_HISTOGRAM] + HOURS] = 0
    for w in range(windows):
        window = WINDOWS_AT + w * step
        state[window : window + step] = 0
        state[window + LO] = min(first_not_before(state, plan, t - plan[P_LISTS + w]), end)
        state[window + LARGEST] = NEVER
        for i in range(state[window + LO], end):
            _add(state, plan, window, i)
            for c in range(codes):
                state[window + DISTINCTS + c] += is_latest(state, plan, i, c) + hidden(state, plan, i, c)
            if plan[P_HISTOGRAM] and w == windows - 1:
                state[plan[P_HISTOGRAM] + hour_of(state[at + i])] += events_of(state, plan, i)
    if plan[P_DELAYED]:
        until = t - plan[P_DELAY]
        state[HI_DELAYED] = min(first_not_before(state, plan, until - plan[P_LISTS + windows - 1]), end)
        for d in range(plan[P_DELAYED]):
            window = plan[P_DELAYED_AT] + d * D_SIZE
            state[window : window + D_SIZE] = 0
            state[window + D_LO] = state[HI_DELAYED]
        _move_delayed(state, plan, until)


@compiled
def move(state: Ints, plan: Ints, t: Int) -> None:
    """Bring the cache to the frontier t."""
    if t < state[FRONTIER] or state[FRONTIER] == NEVER:
        _count_anew(state, plan, t)
    else:
        at, tail = plan[P_HEADER], state[TAIL]
        while state[HI] < tail and state[at + state[HI]] < t:
            _enter(state, plan)
        if plan[P_DELAYED]:
            _move_delayed(state, plan, t - plan[P_DELAY])
        _leave(state, plan, t)
    state[FRONTIER] = t
