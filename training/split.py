"""Split a history in time: train, calibration, a gap whose labels were not known yet, test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.durations import duration_seconds
from models.errors import InvalidInput
from models.rows import FRAUD
from models.schema import TransactionSchema
from training.read import History

TEST_SHARE = 0.2
CALIBRATION_SHARE = 0.25  # of what remains
MIN_TRAIN, MIN_CALIBRATION = 50, 20


@dataclass(frozen=True)
class Split:
    """Positions of the rows of each part, consecutive in time.

    Attributes:
        train, calibration, test: all rows of the part, fraud included; fitting leaves fraud out.
        warm_up: rows at the beginning that are left out.
        gap: rows before the test part whose label could not be known when the test part began: the latest ones, by the
            label delay, and any fraud that was known later still.
    """

    warm_up: NDArray[np.int64]
    train: NDArray[np.int64]
    calibration: NDArray[np.int64]
    gap: NDArray[np.int64]
    test: NDArray[np.int64]


def split_history(history: History, schema: TransactionSchema, label_delay: str, warm_up: int = 0) -> Split:
    """The last fifth is the test part; of the rest, less the gap, the last quarter is the calibration part.

    Args:
        label_delay: how long after a transaction its label is known, e.g. ``7d``. Without timestamps it must be ``0d``.
        warm_up: so many rows at the beginning are left out.

    Raises:
        InvalidInput: too few legitimate rows in a part, or a label delay that is none.
    """
    rows = len(history)
    try:
        seconds = duration_seconds(label_delay)
    except ValueError as error:
        raise InvalidInput(f"label delay: {error}") from None
    if seconds and schema.timestamp is None:
        raise InvalidInput("a label delay needs a timestamp column; set --label-delay 0d or declare one")
    test_start = rows - int(rows * TEST_SHARE)
    known_until = test_start
    if seconds and history.labelled and test_start < rows:
        known = history.time[test_start] - seconds * 1_000_000
        known_until = int(np.searchsorted(history.time[:test_start], known, side="right"))
    warm_up = min(warm_up, known_until)
    places = np.arange(warm_up, test_start)
    not_yet = places >= known_until
    if history.known is not None and test_start < rows:
        not_yet |= (history.label[places] == FRAUD) & (history.known[places] >= history.time[test_start])
    usable, gap = places[~not_yet], places[not_yet]
    cut = len(usable) - int(len(usable) * CALIBRATION_SHARE)
    split = Split(
        warm_up=np.arange(warm_up),
        train=usable[:cut],
        calibration=usable[cut:],
        gap=gap,
        test=np.arange(test_start, rows),
    )
    for name, part, needed in (
        ("train", split.train, MIN_TRAIN),
        ("calibration", split.calibration, MIN_CALIBRATION),
    ):
        legitimate = int((history.label[part] != FRAUD).sum()) if history.labelled else len(part)
        if legitimate < needed:
            told = (
                (len(gap), f"the label delay of {label_delay} left out {len(gap):,} rows: try a shorter --label-delay"),
                (warm_up, f"{warm_up:,} rows at the beginning have too little behind them"),
            )
            cause = "; ".join(text for count, text in told if count)
            raise InvalidInput(
                f"the {name} part has {legitimate} legitimate rows of {rows} rows in all, "
                f"at least {needed} are needed{f' ({cause})' if cause else ''}"
            )
    return split
