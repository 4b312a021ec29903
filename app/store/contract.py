"""What a store keeps and promises; :mod:`app.store.sql.store` and :mod:`app.store.redis.store` keep it.

The log is the truth: every scored transaction and every label, in order of arrival. A state is what the log made of one
entity, kept so that a restart need not replay everything. Both are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from app.store.query import Filter, Page, Tally
from app.store.records import (
    Activation,
    Decision,
    KeptRules,
    LabelEvent,
    ListChange,
    LogColumns,
    Name,
    Origin,
    SavedState,
    View,
    Writes,
)
from models.behaviour.keys import EntityKey

if TYPE_CHECKING:
    from sqlalchemy import Connection  # which a store on Redis does without

T = TypeVar("T")
#: What a power cut can cost: nothing that was acknowledged, or the last moments.
Durability = Literal["full", "normal"]
#: Seconds until a lock, or a server that does not answer, counts as a failure.
PATIENCE = 5.0
#: What becomes of transactions while the store takes no writes.
OnStoreFailure = Literal["refuse", "score"]


class Desk(Protocol):
    """What the console keeps beside the log, in the same SQL database: :mod:`app.store.sql.cases` and its neighbours
    say what is done on the connection.

    Both raise :class:`~app.store.errors.StoreUnavailable` as a store does.
    """

    def read(self, act: Callable[[Connection], T]) -> T:
        """What ``act`` returns of a short transaction of its own. Any thread, beside the one that writes."""

    def write(self, act: Callable[[Connection], T]) -> T:
        """What ``act`` returns, in one transaction, durable. It may be called again where the connection broke."""


class Store(Protocol):
    """A log with states. One thread at a time; one that is not shared belongs to one process at a time.

    Every method raises :class:`~app.store.errors.StoreUnavailable` where the database is gone, locked, full or
    failing; the store can be used again once it is back.

    Attributes:
        shared: several processes write; states must be read in every transaction, and a transaction may be computed
            more than once.
        risks: what of the server's configuration may cost what was acknowledged, and what to set, a line each.
    """

    shared: bool
    risks: Sequence[str]

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        """Read, compute, write: atomic, durable when it returns.

        Args:
            names: transaction ids and digests of Idempotency-Keys to look up.
            keys: entities whose states are wanted.
            events: how many places in the order of arrival to reserve, at most as many are written.
            work: computes what to write from what was read. A shared store calls it again where another process got in
                between. What it raises ends the transaction with nothing written and is raised here.
            labelled: transaction ids whose latest label is wanted.
        """

    def prove(self) -> None:
        """Write what a transaction writes, and take it back: durable when it returns.

        A store may read and not write, write and not sync, or take little and not much.
        """

    def origin(self) -> Origin | None:
        """Where the states began; None for an empty store."""

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        """Forget all states, saved and base, and begin anew from a base. Atomic.

        The log stays; nothing of it is compacted, and the watermark is 0.

        Args:
            instead_of: the origin so far.

        Raises:
            BegunMeanwhile: the store's origin is another; nothing has changed.
        """

    def finish(self, origin: Origin, states: Iterable[tuple[EntityKey, SavedState]]) -> None:
        """End what this store began with an origin that is ``building``: it has these states. Atomic for all others.

        Between the two, a shared store refuses every transaction with :class:`~app.store.errors.StillBuilding`.

        Args:
            origin: in place of that one, not building.

        Raises:
            BegunMeanwhile: another process has begun anew; nothing has changed.
        """

    def base_states(self, keys: Sequence[EntityKey]) -> dict[EntityKey, bytes]:
        """What the base holds of these entities."""

    def watermark(self) -> int:
        """Events up to here need no replay."""

    def last_seq(self) -> int:
        """The last place in the order of arrival that is taken; 0 for an empty log."""

    def compacted(self) -> int:
        """Events up to here are in the base: what is made from the base goes on after them. 0 if none are."""

    def unfinished(self) -> frozenset[str] | None:
        """Transactions under way that may have reserved a place, by names that are not used again; None where that
        cannot be told. Once one is over, what it wrote is in the log. Any thread, beside the one that writes."""

    def settle(self) -> int:
        """A place after which every event comes that is not in the log yet; no earlier than the last one that is."""

    def purging(self) -> AbstractContextManager[None]:
        """To be around a purge, or a making of states from the log, so that there is one of them at a time.

        Raises:
            StoreInUse: another process does one.
        """

    def compact(self, base: Mapping[EntityKey, bytes], compacted: int) -> None:
        """Replace what the base holds of these entities; it now has the events up to ``compacted``. Atomic.

        Every saved state must have its events up to there before, and the log must be settled up to there.
        """

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> int:
        """Delete decisions with their labels, and what is saved of entities, the base included. Atomic.

        All of it must be compacted before: no place of theirs is given to another event.

        Returns:
            How many of them are gone now. In a shared store those stay that another process has written to since: a
            decision with a label that is not compacted, an entity of which a decision is left.
        """

    def scrub(self) -> bool:
        """See that nothing of what was erased can be read from the store's files. False: not now, try again."""

    def log(self, after: int = 0, keys: Sequence[EntityKey] | None = None) -> Iterator[Decision | LabelEvent]:
        """The log's events after a place in the order of arrival, oldest first, in bounded memory.

        Args:
            keys: only decisions that belong to one of these entities, and the labels of those decisions.
        """

    def log_columns(self, after: int = 0, chunk: int = 50_000) -> Iterator[LogColumns]:
        """The same events as :meth:`log`, twice as fast: what a replay needs of them, ``chunk`` at a time."""

    def find(self, transaction_id: str) -> Decision | None:
        """One decision."""

    def activate(self, activation: Activation) -> bool:
        """Append an activation: durable when it returns. False, and nothing written, where its place is taken."""

    def activations(self) -> Sequence[Activation]:
        """All activations, oldest first. Any thread, beside the one that writes."""

    def change_lists(self, changes: Sequence[ListChange]) -> bool:
        """Append changes, all of them or none: durable when it returns. False, and nothing written, where the place of
        the first is not the next one."""

    def list_changes(self, after: int = 0) -> Sequence[ListChange]:
        """The changes after a number, oldest first. Any thread, beside the one that writes."""

    def keep_rules(self, rules: KeptRules) -> None:
        """Keep rules, in place of what was kept under their version: durable when it returns."""

    def kept_rules(self) -> Sequence[KeptRules]:
        """All rules that were kept; those that came into force last are the last. Any thread, as above."""

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        """At most ``limit`` decisions, newest first, with their labels. Any thread, beside the one that writes.

        Args:
            before: only those before this place in the order of arrival, as the page before says; None for the newest.
        """

    def desk(self) -> Desk | None:
        """Where the console's part of the store is read and written; None where it has none."""

    def tally(self, version: str, after: int, since: int) -> Tally:
        """Count a version's decisions after a place in the order of arrival. Any thread, beside the one that writes.

        Args:
            since: arrived then or later, microseconds since 1970 UTC.
        """

    def size(self) -> int:
        """Bytes that it takes: on its disk, or in the memory of the Redis server. Any thread may ask."""

    def close(self) -> None:
        """Release it."""
