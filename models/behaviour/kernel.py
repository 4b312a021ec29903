"""The one implementation of behaviour features: :func:`advance` moves an entity's state on by one event.

A state is an int64 array: a header, then one column after the other of the events that still matter, sorted by time.
The header's sums are a cache, valid for one moment: see :mod:`models.behaviour.windows`. A state says the same whatever
order its cache was brought up in, and inserting an event never changes a sum: at its own time it is in no window yet.

Sums are exact: int64 for amounts, 128 bits for their squares. With amounts up to 10^12 minor units they hold 2^22
events. Up to ``layout.EXACT`` events of an entity are kept singly, older ones merged: :mod:`models.behaviour.merging`.
"""

from __future__ import annotations

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Floats, Int, Ints, compiled
from models.behaviour.features import write
from models.behaviour.merging import merge
from models.behaviour.records import events_of, first_not_before, insert, shift
from models.behaviour.windows import move


@compiled
def advance(state: Ints, plan: Ints, event: Ints, out: Floats) -> Int:
    """Write the features of an event, from what arrived before it, then take it into the state.

    Args:
        state: int64, of :func:`size`; changed in place.
        plan: int64, from :mod:`models.behaviour.plan`.
        event: int64: time in microseconds, amount in minor units, fraud 0 or 1, place, one value per code column.
        out: float64 [features], written.

    Returns:
        ``L.DONE``, ``L.APPROXIMATE``, or, with nothing written or taken, ``L.FULL`` or ``L.TOO_LATE``.
    """
    t = event[L.E_TIME]
    if state[L.NEWEST] != L.NEVER and t < state[L.NEWEST] - plan[P.LATE]:
        return L.TOO_LATE
    if (
        state[L.TAIL] - state[L.HEAD] >= L.EXACT
    ):  # whatever the capacity: a state merges at the same event wherever it is kept
        if not state[L.BULK]:
            return L.FULL
        merge(state, plan)
    if state[L.TAIL] == state[L.CAP]:
        if state[L.HEAD] < max(state[L.CAP] // 5, 1):
            return L.FULL
        shift(state, plan)
    move(state, plan, t)
    write(state, plan, event, out)
    insert(state, plan, event)
    return L.APPROXIMATE if state[L.MERGED] >= t - plan[P.DELAY] - plan[P.LONGEST] else L.DONE


@compiled
def relabel(state: Ints, plan: Ints, t: Int, change: Int) -> None:
    """Add ``change``, +1 or -1, to the fraud at time t; nothing happens where that time is no longer kept."""
    if plan[P.DELAYED] == 0 or t < state[L.NEWEST] - plan[P.RETENTION]:
        return
    at, tail = plan[P.HEADER], state[L.TAIL]
    i = first_not_before(state, plan, t)
    while i < tail and state[at + i] != t and events_of(state, plan, i) == 1 and state[at + i] < state[L.MERGED]:
        i += 1  # a late event within the time of a merged record
    if i == tail or (state[at + i] != t and events_of(state, plan, i) == 1):
        return
    state[at + plan[P.FRAUD] * state[L.CAP] + i] += change
    for d in range(plan[P.DELAYED]):
        window = plan[P.DELAYED_AT] + d * L.D_SIZE
        if state[window + L.D_LO] <= i < state[L.HI_DELAYED]:
            state[window + L.D_FRAUD] += change
