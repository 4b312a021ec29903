"""Where things stand in an entity's state, and in an event. A state is one int64 array: a header, then columns."""

from __future__ import annotations

#: Events of one entity that are kept singly, and the room for them: records in front that have expired take some, too.
EXACT, CAPACITY = 4_096, 5_120
#: What advance answers: done; done, but a window holds merged records; nothing done, the state needs more room;
#: nothing done, the event is later than the history reaches back.
DONE, APPROXIMATE, FULL, TOO_LATE = 0, 1, -1, -2
#: The time of what has not happened.
NEVER = -(2**63)

# A header. HEAD, TAIL: the records in use. NEWEST: the latest time. BULK: whether records can be merged ones; MERGED:
# the latest time of those that are. The rest is the cache for one moment, FRONTIER. HI: the first record not before it;
# HI_DELAYED: not before it less the label delay.
CAP, HEAD, TAIL, NEWEST, BULK, MERGED, FRONTIER, HI, HI_DELAYED = range(9)
WINDOWS_AT = 9
# Then per window: its first record, events, sum, sum of squares, largest; then one distinct count per code column.
LO, N, S1, S2_HIGH, S2_LOW, LARGEST, DISTINCTS = range(7)
# Then per delayed window: its first record, events, fraud. Then, for hour_rarity, the events of each hour.
D_LO, D_N, D_FRAUD, D_SIZE = range(4)
HOURS = 24

# Columns of records. The plan says where the others are.
TS, AMOUNT, FIRST_FREE = range(3)
#: Bits per code column in the column of hidden values.
HIDDEN_BITS = 20

#: Fields of an event as it arrives; the codes follow.
E_TIME, E_AMOUNT, E_FRAUD, E_PLACE, E_CODES = range(5)
#: The place of an event without one.
NO_PLACE = -1
#: Legitimate events that a fraud share has seen before any: one fraud among one is no certainty. The last digits let
#: :func:`models.behaviour.shares.counted` tell how many frauds among how many events a share is.
UNKNOWN = 2.0 + 1.0 / 1024.0
