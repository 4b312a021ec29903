"""The features of an event, one formula per word of the declaration; ``docs/behaviour.md`` has them in full."""

from __future__ import annotations

import math

import numpy as np

from models.behaviour import layout as L
from models.behaviour import plan as P
from models.behaviour.compiled import Floats, Int, Ints, compiled
from models.behaviour.records import count_with, events_of, first_with, latest_with, mean_with
from models.behaviour.uint128 import multiply, subtract
from models.behaviour.windows import hour_of

#: One in so many of an entity's events is nearer than its usual distance.
_USUAL = 10
_SHORTEST_TRIP = 60_000_000  # microseconds; a speed over less says nothing
_EARTH_KM = 6371.0088
_RADIANS = math.pi / 180.0 / 1e7
_HALF_TURN = 1_800_000_000
_TWO_64 = 18446744073709551616.0


@compiled
def _std(state: Ints, window: Int) -> float:
    """The sample standard deviation in minor units: sqrt((n S2 - S1^2) / (n (n - 1))), its numerator exact."""
    n, sum_ = np.uint64(state[window + L.N]), np.uint64(abs(state[window + L.S1]))
    high, low = multiply(n, np.uint64(state[window + L.S2_LOW]))
    high += n * np.uint64(state[window + L.S2_HIGH])
    square_high, square_low = multiply(sum_, sum_)
    high, low = subtract(high, low, square_high, square_low)
    count = float(state[window + L.N])
    return math.sqrt((float(high) * _TWO_64 + float(low)) / (count * (count - 1.0)))


@compiled
def kilometres(a: Int, b: Int) -> float:
    """Great-circle distance of two places by the haversine formula; differences are taken in whole numbers."""
    north_a, east_a, north_b, east_b = a >> 32, a & 0xFFFFFFFF, b >> 32, b & 0xFFFFFFFF
    # Latitudes are counted from the south pole: a cosine of one is a sine here.
    parallels = math.sin(north_a * _RADIANS) * math.sin(north_b * _RADIANS)
    north = math.sin((north_b - north_a) * _RADIANS / 2.0)
    east = math.sin((east_b - east_a) * _RADIANS / 2.0)
    half = north * north + parallels * east * east
    if half < 0.5:
        return 2.0 * _EARTH_KM * math.asin(math.sqrt(half))
    north = math.sin((north_a + north_b - _HALF_TURN) * _RADIANS / 2.0)  # from the antipode, which is the nearer one
    east = math.sin((abs(east_b - east_a) - _HALF_TURN) * _RADIANS / 2.0)
    return _EARTH_KM * (math.pi - 2.0 * math.asin(math.sqrt(north * north + parallels * east * east)))


@compiled
def _km_from_usual(state: Ints, plan: Ints, here: Int, first: Int, end: Int) -> float:
    """The distance within which a tenth of the events with a place lie, at least one; 0 without any."""
    places = plan[P.HEADER] + plan[P.PLACE] * state[L.CAP]
    km, events = np.empty(end - first), np.empty(end - first, np.int64)
    found, total = 0, np.int64(0)
    for i in range(first, end):
        if state[places + i] != L.NO_PLACE:
            km[found], events[found] = kilometres(state[places + i], here), events_of(state, plan, i)
            total += events[found]
            found += 1
    if here == L.NO_PLACE or total == 0:
        return 0.0
    order = np.argsort(km[:found])
    i, nearer = 0, events[order[0]]
    while nearer * _USUAL < total:
        i += 1
        nearer += events[order[i]]
    return float(km[order[i]])


@compiled
def _hour_rarity(state: Ints, plan: Ints, t: Int, n: float) -> float:
    at, hour = plan[P.HISTOGRAM], hour_of(t)
    near = state[at + (hour + L.HOURS - 1) % L.HOURS] + 2 * state[at + hour] + state[at + (hour + 1) % L.HOURS]
    return math.log((4.0 * n + 24.0) / (24.0 * (near + 1.0)))


@compiled
def _streak(state: Ints, plan: Ints, delayed: Int) -> Int:
    """Frauds of a delayed window that are later than every legitimate event in it; events of one moment are one."""
    at, first, i = plan[P.HEADER], state[delayed + L.D_LO], state[L.HI_DELAYED] - 1
    fraud = at + plan[P.FRAUD] * state[L.CAP]
    streak = np.int64(0)
    while i >= first:
        moment = state[at + i]
        events = frauds = np.int64(0)
        while i >= first and state[at + i] == moment:
            events += events_of(state, plan, i)
            frauds += state[fraud + i]
            i -= 1
        if frauds < events:
            break
        streak += events
    return streak


@compiled
def _events_after(state: Ints, plan: Ints) -> Int:
    """Events not before the frontier: how many values they may have hidden where records before it are merged."""
    events = np.int64(0)
    if state[L.BULK]:
        for i in range(state[L.HI], state[L.TAIL]):
            events += events_of(state, plan, i)
    return events


@compiled
def write(state: Ints, plan: Ints, event: Ints, out: Floats) -> None:  # noqa: PLR0912, PLR0915 - one branch a word
    """The features of an event, the cache being at its time."""
    windows, at, cap, step = plan[P.WINDOWS], plan[P.HEADER], state[L.CAP], plan[P.STEP]
    longest = L.WINDOWS_AT + (windows - 1) * step
    scale, t = float(plan[P.SCALE]), event[L.E_TIME]
    hi, lo = state[L.HI], state[longest + L.LO]
    is_new = hi == lo
    since = plan[P.LONGEST] if is_new else t - state[at + hi - 1]
    km = 0.0
    if plan[P.PLACE] and not is_new and event[L.E_PLACE] != L.NO_PLACE:
        last = state[at + plan[P.PLACE] * cap + hi - 1]
        if last != L.NO_PLACE:
            km = kilometres(last, event[L.E_PLACE])
    hiding = _events_after(state, plan)
    window = n = sum_ = np.int64(0)
    std = mean = value = 0.0
    op = P.LISTS + windows
    for _ in range(plan[P.OPS]):
        kind, which, code, to = plan[op], plan[op + 1], plan[op + 2], plan[op + 3]
        op += P.OP_SIZE
        if window != L.WINDOWS_AT + which * step:
            window = L.WINDOWS_AT + which * step
            n, sum_, std = state[window + L.N], state[window + L.S1], -1.0
            mean = sum_ / float(n) if n else 0.0
        if kind == P.COUNT:
            value = float(n)
        elif kind == P.SUM:
            value = sum_ / scale
        elif kind == P.MEAN:
            value = sum_ / (n * scale) if n else 0.0
        elif kind == P.STD:
            if std < 0.0:
                std = _std(state, window) if n > 1 else 0.0
            value = std / scale
        elif kind == P.MAX:
            value = state[window + L.LARGEST] / scale if n else 0.0
        elif kind == P.DISTINCT:
            value = float(state[window + L.DISTINCTS + code])
            if hiding and state[L.MERGED] >= t - plan[P.LISTS + which]:
                value += float(hiding)
        elif kind == P.SAME:
            value = float(count_with(state, plan, code, event[L.E_CODES + code], state[window + L.LO], hi))
        elif kind == P.RATIO_TO_MEAN:
            value = event[L.E_AMOUNT] / max(mean, 1.0) if n else 1.0
        elif kind == P.ZSCORE:
            if std < 0.0:
                std = _std(state, window) if n > 1 else 0.0
            value = (n * event[L.E_AMOUNT] - sum_) / (n * max(std, abs(mean) / 10.0, 1.0)) if n > 1 else 0.0
        elif kind == P.FRAUD_SHARE:
            delayed = plan[P.DELAYED_AT] + which * L.D_SIZE
            value = state[delayed + L.D_FRAUD] / (state[delayed + L.D_N] + L.UNKNOWN)
        elif kind == P.FRAUD_COUNT:
            value = float(state[plan[P.DELAYED_AT] + which * L.D_SIZE + L.D_FRAUD])
        elif kind == P.FRAUD_STREAK:
            value = float(_streak(state, plan, plan[P.DELAYED_AT] + which * L.D_SIZE))
        elif kind == P.SINCE_LAST:
            value = since / 1e6
        elif kind == P.SINCE:
            last = latest_with(state, plan, code, event[L.E_CODES + code], lo, hi)
            value = (t - state[at + last] if last >= 0 else plan[P.LONGEST]) / 1e6
        elif kind == P.SINCE_FIRST:
            first = first_with(state, plan, code, event[L.E_CODES + code], lo, hi)
            value = (t - state[at + first]) / 1e6 if first >= 0 else 0.0
        elif kind == P.RATIO_TO_SAME:
            usual = mean_with(state, plan, code, event[L.E_CODES + code], lo, hi)
            value = event[L.E_AMOUNT] / usual if usual > 0.0 else 1.0
        elif kind == P.KM_FROM_LAST:
            value = km
        elif kind == P.KM_FROM_USUAL:
            value = _km_from_usual(state, plan, event[L.E_PLACE], lo, hi)
        elif kind == P.KMH:
            value = km / (max(since, _SHORTEST_TRIP) / 3.6e9)
        elif kind == P.NEW:
            known = is_new or latest_with(state, plan, code, event[L.E_CODES + code], lo, hi) >= 0
            value = 0.0 if known else 1.0
        elif kind == P.HOUR_RARITY:
            value = _hour_rarity(state, plan, t, float(n))
        elif kind == P.IS_NEW:
            value = 1.0 if is_new else 0.0
        out[to] = value
