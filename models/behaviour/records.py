"""The records of a state: an event each, or several merged ones; sorted by time, order of arrival among equal times."""

from __future__ import annotations

import numpy as np

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Int, Ints, Uint64, compiled
from models.behaviour.uint128 import multiply

_BLOCK = 16


@compiled
def columns(plan: Ints, bulk: Int) -> Int:
    """How many columns a record has."""
    return plan[P.BULK_COLUMNS] if bulk else plan[P.COLUMNS]


@compiled
def size(plan: Ints, capacity: Int, bulk: Int) -> Int:
    """The length of a state array with room for so many records."""
    return plan[P.HEADER] + columns(plan, bulk) * capacity


@compiled
def reset(state: Ints, plan: Ints, capacity: Int, bulk: Int) -> None:
    """Make an array the state of an entity without events."""
    state[: plan[P.HEADER]] = 0
    state[L.CAP] = capacity
    state[L.BULK] = bulk
    state[L.NEWEST] = L.NEVER
    state[L.MERGED] = L.NEVER
    state[L.FRONTIER] = L.NEVER


@compiled
def column(state: Ints, plan: Ints, place: Int) -> Int:
    """Where a column begins; ``place`` is where the plan has its number."""
    return plan[P.HEADER] + plan[place] * state[L.CAP]


@compiled
def events_of(state: Ints, plan: Ints, i: Int) -> Int:
    """How many events record i stands for."""
    return state[column(state, plan, P.EVENTS) + i] if state[L.BULK] else 1


@compiled
def squares_of(state: Ints, plan: Ints, i: Int) -> tuple[Uint64, Uint64]:
    """The sum of the squared amounts of record i."""
    if state[L.BULK]:
        high = column(state, plan, P.SQUARES) + i
        return np.uint64(state[high]), np.uint64(state[high + state[L.CAP]])
    amount = np.uint64(abs(state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]))
    return multiply(amount, amount)


@compiled
def largest_of(state: Ints, plan: Ints, i: Int) -> Int:
    """The largest amount in record i."""
    if state[L.BULK]:
        return state[column(state, plan, P.LARGEST) + i]
    return state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]


@compiled
def first_not_before(state: Ints, plan: Ints, t: Int) -> Int:
    """The first record whose time is t or later, else the tail."""
    at = plan[P.HEADER]
    low, high = state[L.HEAD], state[L.TAIL]
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
    at = plan[P.HEADER] + (plan[P.MARKS] + 1 + code) * state[L.CAP]
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
def count_with(state: Ints, plan: Ints, code: Int, value: Int, first: Int, end: Int) -> Int:
    """How many records in [first, end) have this value in a code column; of merged ones that of the newest event."""
    at = plan[P.HEADER] + (plan[P.MARKS] + 1 + code) * state[L.CAP]
    found = np.int64(0)
    for i in range(at + first, at + end):  # without a branch: vector instructions
        found += state[i] == value
    return found


@compiled
def first_with(state: Ints, plan: Ints, code: Int, value: Int, first: Int, end: Int) -> Int:
    """The first record that :func:`count_with` counts, else -1."""
    at = plan[P.HEADER] + (plan[P.MARKS] + 1 + code) * state[L.CAP]
    for i in range(first, end):
        if state[at + i] == value:
            return i
    return -1


@compiled
def mean_with(state: Ints, plan: Ints, code: Int, value: Int, first: Int, end: Int) -> float:
    """The mean amount, in minor units, of the records that :func:`count_with` counts; without any -1."""
    at = plan[P.HEADER] + (plan[P.MARKS] + 1 + code) * state[L.CAP]
    events = sum_ = np.int64(0)
    for i in range(first, end):
        if state[at + i] == value:
            events += events_of(state, plan, i)
            sum_ += state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]
    return max(sum_ / float(events), 1.0) if events else -1.0


@compiled
def insert(state: Ints, plan: Ints, event: Ints) -> None:
    """Put an event in its place; the cache is at its time, so no sum changes. Forget what can matter no more."""
    cap, at, t = state[L.CAP], plan[P.HEADER], event[L.E_TIME]
    place = state[L.TAIL]
    while place > state[L.HEAD] and state[at + place - 1] > t:
        place -= 1
    if place < state[L.TAIL]:
        for c in range(columns(plan, state[L.BULK])):
            start = at + c * cap
            for i in range(state[L.TAIL], place, -1):
                state[start + i] = state[start + i - 1]
    state[at + place] = t
    state[at + L.AMOUNT * cap + place] = event[L.E_AMOUNT]
    if plan[P.FRAUD]:
        state[at + plan[P.FRAUD] * cap + place] = event[L.E_FRAUD]
    if plan[P.PLACE]:
        state[at + plan[P.PLACE] * cap + place] = event[L.E_PLACE]
    if plan[P.CODES]:
        marks = at + plan[P.MARKS] * cap
        state[marks + place] = 0
        for c in range(plan[P.CODES]):
            state[marks + (1 + c) * cap + place] = event[L.E_CODES + c]
    if state[L.BULK]:
        make_single(state, plan, place)
    state[L.TAIL] += 1
    if t > state[L.NEWEST]:
        state[L.NEWEST] = t
        while state[at + state[L.HEAD]] < t - plan[P.RETENTION]:
            state[L.HEAD] += 1


@compiled
def make_single(state: Ints, plan: Ints, i: Int) -> None:
    """Fill in, for one event, the columns of a state that can merge."""
    amount = state[plan[P.HEADER] + L.AMOUNT * state[L.CAP] + i]
    state[column(state, plan, P.EVENTS) + i] = 1
    if plan[P.SQUARES]:
        high, low = multiply(np.uint64(abs(amount)), np.uint64(abs(amount)))
        squares = column(state, plan, P.SQUARES) + i
        state[squares], state[squares + state[L.CAP]] = np.int64(high), np.int64(low)
    if plan[P.LARGEST]:
        state[column(state, plan, P.LARGEST) + i] = amount
    if plan[P.HIDDEN]:
        state[column(state, plan, P.HIDDEN) + i] = 0


@compiled
def copy_into(old: Ints, new: Ints, plan: Ints, capacity: Int, bulk: Int) -> None:
    """Make ``new``, of :func:`size`, the same state with another capacity, or in the form that can merge records."""
    header, count, head = plan[P.HEADER], old[L.TAIL] - old[L.HEAD], old[L.HEAD]
    new[:header] = old[:header]
    for c in range(columns(plan, old[L.BULK])):
        to, start = header + c * capacity, header + c * old[L.CAP] + head
        for i in range(count):
            new[to + i] = old[start + i]
    new[L.CAP], new[L.BULK] = capacity, bulk
    new[L.HEAD], new[L.TAIL] = 0, count
    if bulk and not old[L.BULK]:
        for i in range(count):
            make_single(new, plan, i)
    _renumber(new, plan, head)


@compiled
def shift(state: Ints, plan: Ints) -> None:
    """Move all records to the front, over those that have expired."""
    cap, at = state[L.CAP], plan[P.HEADER]
    head, count = state[L.HEAD], state[L.TAIL] - state[L.HEAD]
    for c in range(columns(plan, state[L.BULK])):
        start = at + c * cap
        for i in range(count):
            state[start + i] = state[start + head + i]
    state[L.HEAD], state[L.TAIL] = 0, count
    _renumber(state, plan, head)


@compiled
def _renumber(state: Ints, plan: Ints, places: Int) -> None:
    """Let the cache say where records are that have moved so many places to the front."""
    state[L.HI] = max(state[L.HI] - places, 0)
    state[L.HI_DELAYED] = max(state[L.HI_DELAYED] - places, 0)
    for w in range(plan[P.WINDOWS]):
        window = L.WINDOWS_AT + w * plan[P.STEP]
        state[window + L.LO] = max(state[window + L.LO] - places, 0)
    for d in range(plan[P.DELAYED]):
        window = plan[P.DELAYED_AT] + d * L.D_SIZE
        state[window + L.D_LO] = max(state[window + L.D_LO] - places, 0)
