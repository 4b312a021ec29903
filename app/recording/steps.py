"""How much is done at once. Nothing that is answered or recorded depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Steps:
    """The sizes of a recorder's steps.

    Attributes:
        save_after: events after which an entity's state is due to be saved.
        save: states saved with one transaction, beside four for each of its events.
        compact: events of the log that the base takes in with one transaction.
        erase: decisions deleted in one transaction.
    """

    save_after: int = 20_000
    save: int = 64
    compact: int = 1_000
    erase: int = 500
