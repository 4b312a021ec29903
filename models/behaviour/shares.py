"""How many frauds among how many events a fraud share was made of: what a person wants to be told."""

from __future__ import annotations

import numpy as np

from models.behaviour.layout import UNKNOWN

#: More frauds than these are not looked for: the share itself says enough then.
MOST_FRAUDS = 500


def counted(share: float) -> tuple[int, int] | None:
    """The frauds f and the events n of a share f / (n + 2 + 1/1024); None without frauds, or with too many.

    Exact: what is added to n differs from a whole number, so 2 of 4 is another share than 1 of 1.

    Args:
        share: as the kernel writes it, to the last bit.
    """
    if not 0 < share < 1:
        return None
    frauds = np.arange(1, MOST_FRAUDS + 1)
    events = np.rint(frauds / share - UNKNOWN)
    fits = (frauds / (events + UNKNOWN) == share) & (events >= frauds)
    first = int(fits.argmax())
    return (int(frauds[first]), int(events[first])) if fits[first] else None
