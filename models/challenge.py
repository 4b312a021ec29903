"""A challenger beside the active version: on which rows, at as many alerts, by which votes, with how much evidence.

The evidence that it finds more fraud stays valid however often it is looked at.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.errors import InvalidInput
from models.manifest import Manifest

#: Bets on the challenger: the share of the stake that each vote doubles or loses.
STAKES = np.arange(1, 10) / 10
#: Evidence at which the challenger counts as better. Of two equal versions one reaches it with probability 1 / 20 at
#: most, over all days on which anyone looks (Ville's inequality).
ENOUGH = 20.0
_LARGEST_LOG = 700.0


def evidence(won: ArrayLike, lost: ArrayLike) -> NDArray[np.float64]:
    """M, the mean over stakes λ of ∏ (1 + λ(2B − 1)), with B = 1 where only the challenger caught the fraud.

    Where neither is better each B is a fair coin, and M a fair game: it begins at 1 and is expected to stay there. It
    depends on the counts alone, not on their order (Waudby-Smith & Ramdas, *Estimating means of bounded random
    variables by betting*, JRSS B 86, 2024).

    Args:
        won, lost: votes for the challenger and for the active version, of one shape.
    """
    for_it = np.asarray(won, dtype=np.float64)[..., None] * np.log1p(STAKES)
    against = np.asarray(lost, dtype=np.float64)[..., None] * np.log1p(-STAKES)
    logs = np.logaddexp.reduce(for_it + against, axis=-1) - np.log(len(STAKES))
    return np.asarray(np.exp(np.minimum(logs, _LARGEST_LOG)))


def votes(
    old: NDArray[np.bool_], new: NDArray[np.bool_], fraud: NDArray[np.bool_], unit: NDArray[np.int64]
) -> tuple[int, int]:
    """(won, lost): of each unit the first fraud on which the two disagree votes for who caught it.

    A stolen card gives several frauds, and who catches one catches the others: one card has one vote.

    Args:
        old, new: bool [n], alerts of the active version and of the challenger, rows in the order of time.
        fraud: bool [n], labelled fraud.
        unit: int [n], the card, or a number of its own for each row.
    """
    rows = np.flatnonzero(fraud & (old != new))
    _, first = np.unique(unit[rows], return_index=True)
    caught = new[rows[first]]
    return int(caught.sum()), int((~caught).sum())


def fresh_from(*manifests: Manifest) -> int:
    """The time after which no row was fitted or calibrated on by any of the versions, microseconds.

    Raises:
        InvalidInput: a version was trained without timestamps.
    """
    ends = [manifest.training.calibration.end for manifest in manifests]
    if any(end is None for end in ends):
        raise InvalidInput("a version that was trained without timestamps cannot be compared with another")
    return max(_micros(end) for end in ends if end is not None) + 1_000_000


def _micros(end: str) -> int:
    return round(float(end[:-2]) * 1e6) if end.endswith(" s") else round(datetime.fromisoformat(end).timestamp() * 1e6)


def as_many(before: NDArray[np.int8], error: NDArray[np.float64]) -> NDArray[np.int8]:
    """Decisions [n] by another error: as many to review and to decline as before, the largest errors first."""
    order = np.argsort(-error, kind="stable")
    after = np.zeros_like(before)
    for decision in (1, 2):
        after[order[: int((before >= decision).sum())]] = decision
    return after
