"""Which values stand on which list, now and at every earlier change.

Four lists: what stands on ``allow`` is approved, on ``block`` declined, on ``watch`` reviewed; who stands on ``snooze``
raises no review. Entries end by themselves at their time; nothing has to be written for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from app.store.records import ListChange, ListName

NAMES: tuple[ListName, ...] = get_args(ListName)
_Key = tuple[ListName, str, str]


@dataclass(frozen=True, slots=True)
class Hit:
    """A transaction's value stands on a list."""

    name: ListName
    column: str

    def __str__(self) -> str:
        return f"{self.name}:{self.column}"


class Lists:
    """What was ever listed. Changed by one thread; any other may look, and sees a change or does not.

    Attributes:
        number: of the last change; 0 before the first.
    """

    def __init__(self) -> None:
        self.number = 0
        self._history: dict[str, dict[str, list[ListChange]]] = {}
        self._last: dict[_Key, ListChange] = {}

    def apply(self, changes: Sequence[ListChange]) -> None:
        """Take in the changes that come next, oldest first."""
        for change in changes:
            values = self._history.setdefault(change.column, {})
            values.setdefault(change.value, []).append(change)
            self._last[change.name, change.column, change.value] = change
            self.number = change.number

    def hits(self, texts: Mapping[str, str | None], at: int, number: int | None = None) -> tuple[Hit, ...]:
        """The lists that a transaction's values stand on.

        Args:
            texts: value by column, as the log keeps it.
            at: when the transaction arrived, microseconds since 1970 UTC: entries that had ended by then do not count.
            number: of the last change that counts; all of them where it is None.
        """
        found = []
        for column, values in self._history.items():
            history = values.get(texts.get(column) or "")
            if history is not None:
                found += [Hit(one.name, column) for one in _standing(history, at, number)]
        return tuple(found)

    def entries(self, at: int) -> list[ListChange]:
        """What stands on the lists at a time, last changed first."""
        standing = [one for one in list(self._last.values()) if _stands(one, at)]
        return sorted(standing, key=lambda one: -one.number)

    def entry(self, name: ListName, column: str, value: str, at: int) -> ListChange | None:
        """What put a value on a list where it stands at a time; None where it does not."""
        found = self._last.get((name, column, value))
        return found if found is not None and _stands(found, at) else None


def _standing(history: list[ListChange], at: int, number: int | None) -> list[ListChange]:
    """Of each list what was said last, if that has the value stand on it."""
    last = {one.name: one for one in history if number is None or one.number <= number}
    return [one for one in last.values() if _stands(one, at)]


def _stands(change: ListChange, at: int) -> bool:
    return change.listed and (change.until is None or at < change.until)
