"""How fast the service answers: seconds per row, measured by those who wait for their answers."""

from __future__ import annotations

#: Rows from which a stay tells what a row takes: fewer pay most of a sync of the disk each.
TELLING = 16
#: How much one measurement counts beside those before.
_WEIGHT = 0.1
#: Until something was measured: else all of the first rush would be let in.
_ASSUMED = 0.001


class Pace:
    """Belongs to the event loop; any thread may read.

    Attributes:
        seconds: per row.
    """

    def __init__(self) -> None:
        self.seconds = _ASSUMED

    def measured(self, rows: int, seconds: float) -> None:
        """Take in one request's stay: how many rows were answered meanwhile, its own among them, in how many seconds.

        The service had something to do all that time, so that their ratio is what it can do (Little's law), whatever
        holds it up: the store, the model or the event loop. Where few rows were answered it only tells that it was
        fast: what a standstill of the disk has made of the figure would otherwise stay once everybody is turned away
        because of it.
        """
        each = seconds / rows
        if rows >= TELLING:
            self.seconds += _WEIGHT * (each - self.seconds)
        elif each < self.seconds:
            self.seconds = each
