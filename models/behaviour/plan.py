"""A behaviour declaration as the numbers that the kernel reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.behaviour.layout import D_SIZE, DISTINCTS, FIRST_FREE, HOURS, WINDOWS_AT

if TYPE_CHECKING:
    from models.behaviour.spec import EntityBehaviour

#: How much later than an entity's newest event another may be and still have exact features: three days.
LATEST_SECONDS = 3 * 86_400

# Places in a plan. Times are in microseconds. From P_LISTS on: the windows, then the operations.
(
    P_WINDOWS,  # how many
    P_DELAYED,  # how many windows of fraud_share
    P_CODES,  # how many code columns
    P_DELAY,  # the label delay
    P_RETENTION,  # how long before the newest event an event still matters
    P_LATE,  # how long before the newest event another may come
    P_OPS,  # how many features
    P_SCALE,  # minor units in one of the amount's
    P_LONGEST,  # the longest window
    P_HEADER,  # length of a state's header
    P_STEP,  # length of a window in it
    P_DELAYED_AT,  # where the delayed windows stand in it
    P_HISTOGRAM,  # where the hours stand in it; 0 without
    P_COLUMNS,  # columns of a state that cannot merge
    P_FRAUD,  # the column of fraud; 0 without
    P_PLACE,  # the column of places; 0 without
    P_MARKS,  # the column of marks, before those of codes; 0 without
    P_BULK_COLUMNS,  # columns of a state that can merge: as above, then these
    P_EVENTS,  # how many events a record stands for
    P_SQUARES,  # two columns, the sum of squared amounts: high, low; 0 without
    P_LARGEST,  # the largest amount; 0 without
    P_HIDDEN,  # hidden values; 0 without
    P_LISTS,
) = range(23)
#: Of an operation: kind of feature, window, code column, where to write.
OP_SIZE = 4

# Kinds of features.
(
    COUNT,
    SUM,
    MEAN,
    STD,
    MAX,
    DISTINCT,
    RATIO_TO_MEAN,
    ZSCORE,
    FRAUD_SHARE,
    SINCE_LAST,
    KM_FROM_LAST,
    KMH,
    NEW,
    HOUR_RARITY,
    IS_NEW,
) = range(15)
KINDS = {
    "count": COUNT,
    "sum": SUM,
    "mean": MEAN,
    "std": STD,
    "max": MAX,
    "distinct": DISTINCT,
    "ratio_to_mean": RATIO_TO_MEAN,
    "zscore": ZSCORE,
    "fraud_share": FRAUD_SHARE,
    "since_last": SINCE_LAST,
    "km_from_last": KM_FROM_LAST,
    "kmh": KMH,
    "new": NEW,
    "hour_rarity": HOUR_RARITY,
    "is_new": IS_NEW,
}
_SECOND = 1_000_000


def plan_of(behaviour: EntityBehaviour, minor_digits: int) -> NDArray[np.int64]:
    """The plan of one entity's features.

    Args:
        minor_digits: decimals of the amount, 2 for cents.
    """
    windows = [seconds * _SECOND for seconds in behaviour.window_seconds]
    codes = behaviour.code_columns
    words = {feature.word for feature in behaviour.derived}
    shares, histogram = "fraud_share" in words, "hour_rarity" in words
    delay = behaviour.label_delay_seconds * _SECOND if shares else 0
    late = LATEST_SECONDS * _SECOND
    step = DISTINCTS + len(codes)
    delayed_at = WINDOWS_AT + len(windows) * step
    hours_at = delayed_at + len(windows) * D_SIZE * shares
    place_column = FIRST_FREE + shares
    marks_column = place_column + behaviour.uses_place
    squares, largest = "std" in words or "zscore" in words, "max" in words
    events_column = marks_column + (1 + len(codes) if codes else 0)
    squares_column = events_column + 1
    largest_column = squares_column + 2 * squares
    hidden_column = largest_column + largest
    ops = []
    for i, feature in enumerate(behaviour.derived):
        window = behaviour.windows.index(feature.window) if feature.window else len(windows) - 1
        ops.append((window, KINDS[feature.word], codes.index(feature.column) if feature.column else 0, i))
    fixed = {
        P_WINDOWS: len(windows),
        P_DELAYED: len(windows) * shares,
        P_CODES: len(codes),
        P_DELAY: delay,
        P_RETENTION: windows[-1] + delay + late,
        P_LATE: late,
        P_OPS: len(ops),
        P_SCALE: 10**minor_digits,
        P_LONGEST: windows[-1],
        P_HEADER: hours_at + HOURS * histogram,
        P_STEP: step,
        P_DELAYED_AT: delayed_at,
        P_HISTOGRAM: hours_at * histogram,
        P_COLUMNS: events_column,
        P_FRAUD: FIRST_FREE * shares,
        P_PLACE: place_column * behaviour.uses_place,
        P_MARKS: marks_column * bool(codes),
        P_BULK_COLUMNS: hidden_column + bool(codes),
        P_EVENTS: events_column,
        P_SQUARES: squares_column * squares,
        P_LARGEST: largest_column * largest,
        P_HIDDEN: hidden_column * bool(codes),
    }
    # Window by window, so that the kernel takes each one's numbers once.
    listed = [value for window, kind, code, to in sorted(ops) for value in (kind, window, code, to)]
    return np.array([fixed[i] for i in range(P_LISTS)] + windows + listed, dtype=np.int64)
