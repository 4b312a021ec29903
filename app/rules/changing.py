"""Lists as the store has them: read, and changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.rules.lists import Lists
from app.store.contract import Store
from app.store.records import ListChange


def catch_up(store: Store, lists: Lists) -> None:
    """Take in what others have changed.

    Raises:
        StoreUnavailable: the lists are as before.
    """
    lists.apply(store.list_changes(lists.number))


def change(store: Store, lists: Lists, wanted: Sequence[ListChange]) -> Sequence[ListChange]:
    """Make changes, all of them or none; belongs to the thread that writes.

    Args:
        wanted: numbered by this.

    Returns:
        Those that changed something: a value that is on a list already, until the same time, is left alone, and so is
        one that is to be taken off and is not on it.

    Raises:
        StoreUnavailable: nothing has changed.
    """
    while True:
        catch_up(store, lists)
        new = [one for one in wanted if _changes(one, lists)]
        numbered = [replace(one, number=lists.number + place) for place, one in enumerate(new, 1)]
        if not numbered:
            return numbered
        if store.change_lists(numbered):
            lists.apply(numbered)
            return numbered


def _changes(wanted: ListChange, lists: Lists) -> bool:
    now = lists.entry(wanted.name, wanted.column, wanted.value, wanted.at)
    if now is None or not wanted.listed:
        return (now is not None) != wanted.listed
    return (now.until, now.note) != (wanted.until, wanted.note)
