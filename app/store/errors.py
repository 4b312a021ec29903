"""What goes wrong with a store."""

from __future__ import annotations

from models.errors import CounterfoilError


class StoreUnavailable(CounterfoilError):
    """The store cannot be reached or written now. Trying again may help.

    Nothing of the transaction was kept, unless the answer to its commit was lost: then the next transaction shows a
    ``next_seq`` beyond the last event that this process knows of.
    """


class BegunMeanwhile(StoreUnavailable):
    """Another process began anew since the origin was read; read it again."""


class Contended(StoreUnavailable):
    """Another process got in between; the same again may go well at once."""


OTHER_SECTIONS = (
    "the store's states have begun anew for a model with other [entity] sections, or other columns of amount and time; "
    "stop this process, or give its model a store of its own"
)


class OtherStates(StoreUnavailable):
    """The store's states are of another declaration than this process's model: they are neither read nor written."""


class StillBuilding(StoreUnavailable):
    """The states of a shared store are being made from its log. Until they are, nothing is read of them or recorded."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name}: its states are being made anew from its log by a process that serves another model; once they "
            "are it goes on, and if that process was ended, start it again"
        )


class StoreInUse(CounterfoilError):
    """Another process owns the store."""


class NotShared(StoreInUse):
    """One process has owned the store so far, and its saved states lack events of the log."""
