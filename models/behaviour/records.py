"""The records of a state: an event each, or several merged ones; sorted by time, order of arrival among equal times."""

from __future__ import annotations

import numpy as np

from models.behaviour.compiled import Int, Ints, Uint64, compiled
from models.behaviour.layout import (
    AMOUNT,
    BULK,
    CAP,
    D_LO,
    D_SIZE,
    E_AMOUNT,
    E_CODES,
    E_FRAUD,
    E_PLACE,
    E_TIME,
    FRONTIER,
    HEAD,
    HI,
    HI_DELAYED,
    LO,
    MERGED,
    NEVER,
    NEWEST,
    TAIL,
    WINDOWS_AT,
)
from models.behaviour.plan import (
    P_BULK_COLUMNS,
    P_CODES,
    P_COLUMNS,
    P_DELAYED,
    P_DELAYED_AT,
    P_EVENTS,
    P_FRAUD,
    P_HEADER,
    P_HIDDEN,
    P_LARGEST,
    P_MARKS,
    P_PLACE,
    P_RETENTION,
    P_SQUARES,
    P_STEP,
    P_WINDOWS,
)
from models.behaviour.uint128 import multiply

_BLOCK = 16


@compiled
def columns(plan: Ints, bulk: Int) -> Int:
    """How many columns a record has."""
    return plan[P_BULK_COLUMNS] if bulk else plan[P_COLUMNS]


@compiled
def size(plan: Ints, capacity: Int, bulk: Int) -> Int:
    """The length of a state array with room for so many records."""
    return plan[P_HEADER] + columns(plan, bulk) * capacity


@compiled
def reset(state: Ints, plan: Ints, capacity: Int, bulk: Int) -> None:
    """Make an array the state of an entity without events."""
    state[: plan[P_HEADER]] = 0
    state[CAP] = capacity
    state[BULK] = bulk
    state[NEWEST] = NEVER
    state[MERGED] = NEVER
    state[FRONTIER] = NEVER


@compiled
def column(state: Ints, plan: Ints, place: Int) -> Int:
    """Where a column begins; ``place`` is where the plan has its number."""
    return plan[P_HEADER] + plan[place] * state[CAP]


@compiled
def events_of(state: Ints, plan: Ints, i: Int) -> Int:
    """How many events record i stands for."""
    return state[column(state, plan, P_EVENTS) + i] if state[BULK] else 1


@compiled
def squares_of(state: Ints, plan: Ints, i: Int) -> tuple[Uint64, Uint64]:
    """The sum of the squared amounts of record i."""
    if state[BULK]:
        high = column(state, plan, P_SQUARES) + i
        return np.uint64(state[high]), np.uint64(state[high + state[CAP]])
    amount = np.uint64(abs(state[plan[P_HEADER] + AMOUNT * state[CAP] + i]))
    return multiply(amount, amount)


@compiled
def largest_of(state: Ints, plan: Ints, i: Int) -> Int:
    """The largest amount in record i."""
    if state[BULK]:
        return state[column(state, plan, P_LARGEST) + i]
    return state[plan[P_HEADER] + AMOUNT * state[CAP] + i]


@compiled
def first_not_before(state: Ints, plan: Ints, t: Int) -> Int:
    """The first record whose time is t or later, else the tail."""
    at = plan[P_HEADER]
    low, high = state[HEAD], state[TAIL]
    while low < high:
        middle = (low + high) // 2
        if state[at + middle] < t:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def latest_with(state: Ints, plan: Ints, code: Int, value: Int, first: Int, end: Int) -> Int:
    """The last record in [first, end) with this value in a code column, else -1."""
    at = plan[P_HEADER] + (plan[P_MARKS] + 1 + code) * state[CAP]
    values = state[at + first : at + end]
    i = len(values)
    while i >= _BLOCK:  # a block without a branch in it is one or two vector instructions
        found = False
        for k in range(i - _BLOCK, i):
            found |= values[k] == value
        if found:
            break
        i -= _BLOCK
    while i > 0:
        i -= 1
        if values[i] == value:
            return first + i
    return -1


@compiled
def insert(state: Ints, plan: Ints, event: Ints) -> None:
    """Put an event in its place; the cache is at its time, so no sum changes. Forget what can matter no more."""
    cap, at, t = state[CAP], plan[P_HEADER], event[E_TIME]
    place = state[TAIL]
    while place > state[HEAD] and state[at + place - 1] > t:
        place -= 1
    if place < state[TAIL]:
        for c in range(columns(plan, state[BULK])):
            start = at + c * cap
            for i in range(state[TAIL], place, -1):
                state[start + i] = state[start + i - 1]
    state[at + place] = t
    state[at + AMOUNT * cap + place] = event[E_AMOUNT]
    if plan[P_FRAUD]:
        state[at + plan[P_FRAUD] * cap + place] = event[E_FRAUD]
    if plan[P_PLACE]:
        state[at + plan[P_PLACE] * cap + place] = event[E_PLACE]
    if plan[P_CODES]:
        marks = at + plan[P_MARKS] * cap
        state[marks + place] = 0
        for c in range(plan[P_CODES]):
            state[marks + (1 + c) * cap + place] = event[E_CODES + c]
    if state[BULK]:
        make_single(state, plan, place)
    state[TAIL] += 1
    if t > state[NEWEST]:
        state[NEWEST] = t
        while state[at + state[HEAD]] < t - plan[P_RETENTION]:
            state[HEAD] += 1


@compiled
def make_single(state: Ints, plan: Ints, i: Int) -> None:
    """Fill in, for one event, the columns of a state that can merge."""
    amount = state[plan[P_HEADER] + AMOUNT * state[CAP] + i]
    state[column(state, plan, P_EVENTS) + i] = 1
    if plan[P_SQUARES]:
        high, low = multiply(np.uint64(abs(amount)), np.uint64(abs(amount)))
        squares = column(state, plan, P_SQUARES) + i
        state[squares], state[squares + state[CAP]] = np.int64(high), np.int64(low)
    if plan[P_LARGEST]:
        state[column(state, plan, P_LARGEST) + i] = amount
    if plan[P_HIDDEN]:
        state[column(state, plan, P_HIDDEN) + i] = 0


@compiled
def copy_into(old: Ints, new: Ints, plan: Ints, capacity: Int, bulk: Int) -> None:
    """Make ``new``, of :func:`size`, the same state with another capacity, or in the form that can merge records."""
    header, count, head = plan[P_HEADER], old[TAIL] - old[HEAD], old[HEAD]
    new[:header] = old[:header]
    for c in range(columns(plan, old[BULK])):
        to, start = header + c * capacity, header + c * old[CAP] + head
        for i in range(count):
            new[to + i] = old[start + i]
    new[CAP], new[BULK] = capacity, bulk
    new[HEAD], new[TAIL] = 0, count
    if bulk and not old[BULK]:
        for i in range(count):
            make_single(new, plan, i)
    _renumber(new, plan, head)


@compiled
def shift(state: Ints, plan: Ints) -> None:
    """Move all records to the front, over those that have expired."""
    cap, at = state[CAP], plan[P_HEADER]
    head, count = state[HEAD], state[TAIL] - state[HEAD]
    for c in range(columns(plan, state[BULK])):
        start = at + c * cap
        for i in range(count):
            state[start + i] = state[start + head + i]
    state[HEAD], state[TAIL] = 0, count
    _renumber(state, plan, head)


@compiled
def _renumber(state: Ints, plan: Ints, places: Int) -> None:
    """Let the cache say where records are that have moved so many places to the front."""
    state[HI] = max(state[HI] - places, 0)
    state[HI_DELAYED] = max(state[HI_DELAYED] - places, 0)
    for w in range(plan[P_WINDOWS]):
        window = WINDOWS_AT + w * plan[P_STEP]
        state[window + LO] = max(state[window + LO] - places, 0)
    for d in range(plan[P_DELAYED]):
        window = plan[P_DELAYED_AT] + d * D_SIZE
        state[window + D_LO] = max(state[window + D_LO] - places, 0)
