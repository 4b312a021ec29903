"""Evidence that a challenger finds more fraud than the active version, valid however often it is looked at."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
