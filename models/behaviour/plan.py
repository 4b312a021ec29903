"""A behaviour declaration as the numbers that the kernel reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.behaviour import layout as L

if TYPE_CHECKING:
    from models.behaviour.spec import EntityBehaviour

#: How much later than an entity's newest event another may be and still have exact features: three days.
LATEST_SECONDS = 3 * 86_400

# Places in a plan. Times are in microseconds. From LISTS on: the windows, then the operations.
(
    WINDOWS,  # how many
    DELAYED,  # how many windows of what labels say
    CODES,  # how many code columns
    DELAY,  # the label delay
    RETENTION,  # how long before the newest event an event still matters
    LATE,  # how long before the newest event another may come
    OPS,  # how many features
    SCALE,  # minor units in one of the amount's
    LONGEST,  # the longest window
    HEADER,  # length of a state's header
    STEP,  # length of a window in it
    DELAYED_AT,  # where the delayed windows stand in it
    HISTOGRAM,  # where the hours stand in it; 0 without
    COLUMNS,  # columns of a state that cannot merge
    FRAUD,  # the column of fraud; 0 without
    PLACE,  # the column of places; 0 without
    MARKS,  # the column of marks, before those of codes; 0 without
    BULK_COLUMNS,  # columns of a state that can merge: as above, then these
    EVENTS,  # how many events a record stands for
    SQUARES,  # two columns, the sum of squared amounts: high, low; 0 without
    LARGEST,  # the largest amount; 0 without
    HIDDEN,  # hidden values; 0 without
    LISTS,
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
    SAME,
    RATIO_TO_MEAN,
    ZSCORE,
    FRAUD_SHARE,
    FRAUD_COUNT,
    FRAUD_STREAK,
    SINCE_LAST,
    SINCE,
    SINCE_FIRST,
    RATIO_TO_SAME,
    KM_FROM_LAST,
    KM_FROM_USUAL,
    KMH,
    NEW,
    HOUR_RARITY,
    IS_NEW,
) = range(22)
KINDS = {
    "count": COUNT,
    "sum": SUM,
    "mean": MEAN,
    "std": STD,
    "max": MAX,
    "distinct": DISTINCT,
    "same": SAME,
    "ratio_to_mean": RATIO_TO_MEAN,
    "zscore": ZSCORE,
    "fraud_share": FRAUD_SHARE,
    "fraud_count": FRAUD_COUNT,
    "fraud_streak": FRAUD_STREAK,
    "since_last": SINCE_LAST,
    "since": SINCE,
    "since_first": SINCE_FIRST,
    "ratio_to_same": RATIO_TO_SAME,
    "km_from_last": KM_FROM_LAST,
    "km_from_usual": KM_FROM_USUAL,
    "kmh": KMH,
    "new": NEW,
    "hour_rarity": HOUR_RARITY,
    "is_new": IS_NEW,
}
#: Words that look at what is known of earlier transactions once the label delay is over.
OF_LABELS = {"fraud_share", "fraud_count", "fraud_streak"}
_SECOND = 1_000_000


def plan_of(behaviour: EntityBehaviour, minor_digits: int) -> NDArray[np.int64]:
    """The plan of one entity's features.

    Args:
        minor_digits: decimals of the amount, 2 for cents.
    """
    windows = [seconds * _SECOND for seconds in behaviour.window_seconds]
    codes = behaviour.code_columns
    words = {feature.word for feature in behaviour.derived}
    labels, histogram = bool(words & OF_LABELS), "hour_rarity" in words
    delay = behaviour.label_delay_seconds * _SECOND if labels else 0
    late = LATEST_SECONDS * _SECOND
    step = L.DISTINCTS + len(codes)
    delayed_at = L.WINDOWS_AT + len(windows) * step
    hours_at = delayed_at + len(windows) * L.D_SIZE * labels
    place_column = L.FIRST_FREE + labels
    marks_column = place_column + behaviour.uses_place
    squares, largest = "std" in words or "zscore" in words, "max" in words
    events_column = marks_column + (1 + len(codes) if codes else 0)
    squares_column = events_column + 1
    largest_column = squares_column + 2 * squares
    hidden_column = largest_column + largest
    ops = []
    for i, feature in enumerate(behaviour.derived):
        window = behaviour.every_window.index(feature.window) if feature.window else len(windows) - 1
        ops.append((window, KINDS[feature.word], codes.index(feature.column) if feature.column else 0, i))
    fixed = {
        WINDOWS: len(windows),
        DELAYED: len(windows) * labels,
        CODES: len(codes),
        DELAY: delay,
        RETENTION: windows[-1] + delay + late,
        LATE: late,
        OPS: len(ops),
        SCALE: 10**minor_digits,
        LONGEST: windows[-1],
        HEADER: hours_at + L.HOURS * histogram,
        STEP: step,
        DELAYED_AT: delayed_at,
        HISTOGRAM: hours_at * histogram,
        COLUMNS: events_column,
        FRAUD: L.FIRST_FREE * labels,
        PLACE: place_column * behaviour.uses_place,
        MARKS: marks_column * bool(codes),
        BULK_COLUMNS: hidden_column + bool(codes),
        EVENTS: events_column,
        SQUARES: squares_column * squares,
        LARGEST: largest_column * largest,
        HIDDEN: hidden_column * bool(codes),
    }
    # Window by window, so that the kernel takes each one's numbers once.
    listed = [value for window, kind, code, to in sorted(ops) for value in (kind, window, code, to)]
    return np.array([fixed[i] for i in range(LISTS)] + windows + listed, dtype=np.int64)
