"""What a store keeps and promises; :mod:`app.store.sql.store` and :mod:`app.store.redis.store` keep it.

The log is the truth: every scored transaction and every label, in order of arrival. A state is what the log made of one
entity, kept so that a restart need not replay everything. Both are written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

from models.errors import CounterfoilError

if TYPE_CHECKING:
    from app.store.query import Filter, Page

#: Which entity: the name of its section in the profile, and the digest of its key.
EntityKey = tuple[str, bytes]
#: What a transaction is recorded under, at most once: its id (text), or what stands for an Idempotency-Key (bytes).
Name = str | bytes
Label = Literal["fraud", "legitimate", "disputed"]
#: What a power cut can cost: nothing that was acknowledged, or the last moments.
Durability = Literal["full", "normal"]
#: What becomes of transactions while the store takes no writes.
OnStoreFailure = Literal["refuse", "score"]


class StoreUnavailable(CounterfoilError):
    """The store cannot be reached or written now. Trying again may help.

    Nothing of the transaction was kept, unless the answer to its commit was lost: then the next transaction shows a
    ``next_seq`` beyond the last event that this process knows of.
    """


class BegunMeanwhile(StoreUnavailable):
    """Another process began anew since the origin was read; read it again."""


class StoreInUse(CounterfoilError):
    """Another process owns the embedded store."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One scored transaction, as the log keeps it.

    Attributes:
        seq: place in the order of arrival, shared with labels; from 1, gaps allowed.
        transaction_id: the caller's, unique in the log; None where the schema has no id.
        digest: of the transaction as sent, 32 bytes: the same id with another digest is another transaction.
        time: of the transaction, microseconds as in :mod:`models.times`.
        arrived_at: microseconds since 1970 UTC, by this machine's clock.
        body: the validated transaction as JSON, from which features can be computed anew.
        features: what the detector was given, :meth:`models.rows.Batch.to_bytes` of one row.
        score, error, threshold, decision, model_version: as answered.
        reply: the answer, byte for byte.
        caller: who asked; None without API keys.
        latency_us: from arrival until the answer was ready to be written.
        keys: the entities it belongs to.
        idempotency_digest: of the Idempotency-Key it was sent with, 16 bytes, unique in the log; None without one.
    """

    seq: int
    transaction_id: str | None
    digest: bytes
    time: int
    arrived_at: int
    body: str
    features: bytes
    score: float
    error: float
    threshold: float
    decision: str
    model_version: str
    reply: bytes
    caller: str | None
    latency_us: int
    keys: tuple[EntityKey, ...]
    idempotency_digest: bytes | None = None

    @property
    def names(self) -> tuple[Name, ...]:
        """What it is recorded under."""
        return tuple(name for name in (self.transaction_id, self.idempotency_digest) if name is not None)


@dataclass(frozen=True, slots=True)
class LabelEvent:
    """What became known of a transaction, and when.

    Attributes:
        seq: place in the order of arrival, shared with decisions.
        known_at: when it became known, microseconds since 1970 UTC.
        change: to the fraud counted at the transaction's time: +1, -1 or 0, by what the label was before.
    """

    seq: int
    transaction_id: str
    label: Label
    known_at: int
    arrived_at: int
    caller: str | None
    change: int = 0


@dataclass(frozen=True, slots=True)
class SavedState:
    """An entity's state and the last event it has seen: events up to ``seq`` are in it, later ones are not."""

    seq: int
    content: bytes


@dataclass(frozen=True, slots=True)
class View:
    """What a transaction reads before it computes.

    Attributes:
        known: decisions that are in the log, by those of the asked names that they are recorded under.
        labels: the latest label of each asked id that has one.
        states: saved states of the asked keys; an entity that has none is absent. Where only the base has one,
            its ``seq`` is 0.
        next_seq: the first free place in the order of arrival, reserved for as many events as were asked for.
    """

    known: Mapping[Name, Decision]
    labels: Mapping[str, LabelEvent]
    states: Mapping[EntityKey, SavedState]
    next_seq: int


@dataclass(frozen=True, slots=True)
class Writes:
    """What a transaction writes, all of it or nothing.

    Attributes:
        states: replaces what is saved.
        watermark: events up to here are in every saved state they touch; None leaves it as it is. A restart replays
            the log from there.
    """

    decisions: Sequence[Decision] = ()
    labels: Sequence[LabelEvent] = ()
    states: Mapping[EntityKey, SavedState] = field(default_factory=dict)
    watermark: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the states began.

    Attributes:
        spec: digest of the behaviour declaration that the states belong to.
        base: digest of the snapshot loaded before the first event; empty without one.
        as_of: time of the last transaction in that snapshot, microseconds; None without one.
        seq: the last event of the log then. Of events up to it those count that are later than ``as_of``: the snapshot
            holds the others. Every event after it counts.
        pseudonyms: fingerprint of the pseudonyms that the entities go by; empty where they go by their own ids.
    """

    spec: str
    base: str = ""
    as_of: int | None = None
    seq: int = 0
    pseudonyms: str = ""


@dataclass(frozen=True, slots=True)
class LogColumns:
    """A stretch of the log, as a replay needs it: decisions as columns, and the labels of the same stretch.

    Attributes:
        seqs, transaction_ids, times, bodies: of the decisions, oldest first, all of one length.
        labels: oldest first. None is older than a decision of an earlier stretch, or newer than one of a later stretch.
    """

    seqs: Sequence[int]
    transaction_ids: Sequence[str | None]
    times: Sequence[int]
    bodies: Sequence[str]
    labels: Sequence[LabelEvent]


class Store(Protocol):
    """A log with states. One thread at a time; the embedded one belongs to one process at a time.

    Every method raises :class:`StoreUnavailable` where the database is gone, locked, full or failing; the store can be
    used again once it is back.

    Attributes:
        shared: several processes write; states must be read in every transaction, and a transaction may be computed
            more than once.
        risks: what of the server's configuration may cost what was acknowledged, and what to set, a line each.
    """

    shared: bool
    risks: Sequence[str]

    def transact(
        self, names: Sequence[Name], keys: Sequence[EntityKey], events: int, work: Callable[[View], Writes]
    ) -> None:
        """Read, compute, write: atomic, durable when it returns.

        Args:
            names: transaction ids and digests of Idempotency-Keys to look up.
            keys: entities whose states are wanted.
            events: how many places in the order of arrival to reserve, at most as many are written.
            work: computes what to write from what was read. A shared store calls it again where another process got in
                between. What it raises ends the transaction with nothing written and is raised here.
        """

    def origin(self) -> Origin | None:
        """Where the states began; None for an empty store."""

    def begin(self, origin: Origin, base: Iterable[tuple[EntityKey, bytes]], instead_of: Origin | None = None) -> None:
        """Forget all states, saved and base, and begin anew from a base. Atomic.

        The log stays; nothing of it is folded, and the watermark is 0.

        Args:
            instead_of: the origin so far.

        Raises:
            BegunMeanwhile: the store's origin is another; nothing has changed.
        """

    def base_states(self, keys: Sequence[EntityKey]) -> dict[EntityKey, bytes]:
        """What the base holds of these entities."""

    def watermark(self) -> int:
        """Events up to here need no replay."""

    def last_seq(self) -> int:
        """The last place in the order of arrival that is taken; 0 for an empty log."""

    def folded(self) -> int:
        """Events up to here are in the base: what is made from the base goes on after them. 0 if none are."""

    def fold(self, base: Mapping[EntityKey, bytes], folded: int) -> None:
        """Replace what the base holds of these entities; it now has the events up to ``folded``. Atomic.

        Every saved state must have its events up to there before. A shared store refuses.
        """

    def erase(self, decisions: Sequence[Decision], entities: Sequence[EntityKey] = ()) -> None:
        """Delete decisions with their labels, and what is saved of entities, the base included. Atomic.

        All of it must be folded before: no place of theirs is given to another event.
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

    def page(self, wanted: Filter, before: int | None, limit: int) -> Page:
        """At most ``limit`` decisions, newest first, with their labels. Any thread, beside the one that writes.

        Args:
            before: only those before this place in the order of arrival, as the page before says; None for the newest.
        """

    def size(self) -> int:
        """Bytes that it takes: on its disk, or in the memory of the Redis server. Any thread may ask."""

    def close(self) -> None:
        """Release it."""
