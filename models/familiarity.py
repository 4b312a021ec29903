"""Whether categories are written as they were in training: where most values are unknown, they are not.

Judged by the values and not by the types of columns, so that ``5411.0`` for ``5411`` is noticed in a file, an upload
and JSON alike, and for every version.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.rows import Vocabulary
from models.schema import TransactionSchema

#: Rows that tell; the share of unknown values that says so.
_FEWEST, _SHARE = 50, 0.5
#: Rows after which the earlier half counts half.
_REMEMBERED = 10_000


class Familiarity:
    """Counts values that training did not know, in what is scored under one version. Not thread-safe.

    Args:
        schema, vocabulary: of the version.
    """

    def __init__(self, schema: TransactionSchema, vocabulary: Vocabulary) -> None:
        self._names = schema.categorical
        self._learned = np.array([bool(values) for values in vocabulary.values], bool)
        self._unknown = np.zeros(len(self._names))
        self._rows = 0.0
        self._told: set[str] = set()

    def look(self, codes: NDArray[np.int64]) -> None:
        """Count some rows.

        Args:
            codes: (rows, categories), 0 for a value that training did not know.
        """
        self._rows += len(codes)
        self._unknown += (codes == 0).sum(axis=0)
        if self._rows > _REMEMBERED:
            self._rows, self._unknown = self._rows / 2, self._unknown / 2

    def news(self) -> tuple[str, ...]:
        """The categories most of whose values are unknown, each told once."""
        if self._rows < _FEWEST:
            return ()
        odd = self._learned & (self._unknown > _SHARE * self._rows)
        found = tuple(name for name, is_odd in zip(self._names, odd, strict=True) if is_odd and name not in self._told)
        self._told |= set(found)
        return found


def unfamiliar(name: str) -> str:
    """What to tell of a category."""
    return f"training knew few of the values of {name}: is it written as it was then, 5411 and not 5411.0 for instance?"
