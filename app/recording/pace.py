"""How fast the ledger answers: seconds per row, measured while it works."""

from __future__ import annotations

#: Rows from which a transaction of the store says what a row costs: fewer pay most of a sync of the disk each.
TELLING = 16
#: How much one measurement counts beside those before.
_WEIGHT = 0.5
#: Until something was measured: else all of the first rush would be let in.
_ASSUMED = 0.001


class Pace:
    """Measured by one thread; any may read.

    Attributes:
        seconds: per row.
    """

    def __init__(self) -> None:
        self.seconds = _ASSUMED

    def measured(self, rows: int, seconds: float) -> None:
        """Take in what one transaction of the store took.

        Of few rows only that it was fast: what a standstill of the disk has made of the figure would otherwise stay
        once everybody is turned away because of it.
        """
        each = seconds / rows
        if rows >= TELLING:
            self.seconds += _WEIGHT * (each - self.seconds)
        elif each < self.seconds:
            self.seconds = each
