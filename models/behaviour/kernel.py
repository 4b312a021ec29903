"""The one implementation of behaviour features: :func:`advance` moves an entity's state on by one event.

A state is an int64 array: a header, then one column after the other of the events that still matter, sorted by time.
The header's sums are a cache, valid for one moment: see :mod:`models.behaviour.windows`. A state says the same whatever
order its cache was brought up in, and inserting an event never changes a sum: at its own time it is in no window yet.

Sums are exact: int64 for amounts, 128 bits for their squares. With amounts up to 10^12 minor units they hold 2^22
events. Up to :data:`EXACT` events of an entity are kept singly, older ones merged: :mod:`models.behaviour.merging`.
"""

from __future__ import annotations

from models.behaviour.compiled import Floats, Int, Ints, compiled
from models.behaviour.features import write
from models.behaviour.layout import (
    APPROXIMATE,
    BULK,
    CAP,
    CAPACITY,
    D_FRAUD,
    D_LO,
    D_SIZE,
    DISTINCTS,
    DONE,
    E_AMOUNT,
    E_CODES,
    E_FRAUD,
    E_PLACE,
    E_TIME,
    EXACT,
    FULL,
    HEAD,
    HI,
    HI_DELAYED,
    LO,
    MERGED,
    NEVER,
    NEWEST,
    NO_PLACE,
    TAIL,
    TOO_LATE,
    WINDOWS_AT,
)
from models.behaviour.merging import merge
from models.behaviour.plan import (
    P_DELAY,
    P_DELAYED,
    P_DELAYED_AT,
    P_FRAUD,
    P_HEADER,
    P_LATE,
    P_LONGEST,
    P_RETENTION,
)
from models.behaviour.records import columns, copy_into, events_of, first_not_before, insert, reset, shift, size
from models.behaviour.windows import move

__all__ = [
    "APPROXIMATE",
    "BULK",
    "CAP",
    "CAPACITY",
    "DISTINCTS",
    "DONE",
    "D_LO",
    "D_SIZE",
    "EXACT",
    "E_AMOUNT",
    "E_CODES",
    "E_FRAUD",
    "E_PLACE",
    "E_TIME",
    "FULL",
    "HEAD",
    "HI",
    "HI_DELAYED",
    "LO",
    "NEVER",
    "NEWEST",
    "NO_PLACE",
    "TAIL",
    "TOO_LATE",
    "WINDOWS_AT",
    "advance",
    "columns",
    "copy_into",
    "relabel",
    "reset",
    "size",
]


@compiled
def advance(state: Ints, plan: Ints, event: Ints, out: Floats) -> Int:
    """Write the features of an event, from what arrived before it, then take it into the state.

    Args:
        state: int64, of :func:`size`; changed in place.
        plan: int64, from :mod:`models.behaviour.plan`.
        event: int64: time in microseconds, amount in minor units, fraud 0 or 1, place, one value per code column.
        out: float64 [features], written.

    Returns:
        :data:`DONE`, :data:`APPROXIMATE`, or, with nothing written or taken, :data:`FULL` or :data:`TOO_LATE`.
    """
    t = event[E_TIME]
    if state[NEWEST] != NEVER and t < state[NEWEST] - plan[P_LATE]:
        return TOO_LATE
    if (
        state[TAIL] - state[HEAD] >= EXACT
    ):  # whatever the capacity: a state merges at the same event wherever it is kept
        if not state[BULK]:
            return FULL
        merge(state, plan)
    if state[TAIL] == state[CAP]:
        if state[HEAD] < max(state[CAP] // 5, 1):
            return FULL
        shift(state, plan)
    move(state, plan, t)
    write(state, plan, event, out)
    insert(state, plan, event)
    return APPROXIMATE if state[MERGED] >= t - plan[P_DELAY] - plan[P_LONGEST] else DONE


@compiled
def relabel(state: Ints, plan: Ints, t: Int, change: Int) -> None:
    """Add ``change``, +1 or -1, to the fraud at time t; nothing happens where that time is no longer kept."""
    if plan[P_DELAYED] == 0 or t < state[NEWEST] - plan[P_RETENTION]:
        return
    at, tail = plan[P_HEADER], state[TAIL]
    i = first_not_before(state, plan, t)
    while i < tail and state[at + i] != t and events_of(state, plan, i) == 1 and state[at + i] < state[MERGED]:
        i += 1  # a late event within the time of a merged record
    if i == tail or (state[at + i] != t and events_of(state, plan, i) == 1):
        return
    state[at + plan[P_FRAUD] * state[CAP] + i] += change
    for d in range(plan[P_DELAYED]):
        window = plan[P_DELAYED_AT] + d * D_SIZE
        if state[window + D_LO] <= i < state[HI_DELAYED]:
            state[window + D_FRAUD] += change
