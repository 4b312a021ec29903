"""What a store keeps: decisions, labels, states, and what one transaction reads and writes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from models.behaviour.keys import EntityKey

#: What a transaction is recorded under, at most once: its id (text), or what stands for an Idempotency-Key (bytes).
Name = str | bytes
Label = Literal["fraud", "legitimate", "disputed"]
#: A list of values that decides beside the score: see :mod:`app.rules.lists`.
ListName = Literal["allow", "block", "watch", "snooze"]


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
        labels: the latest label of each id that was asked for its label and has one.
        states: saved states of the asked keys; an entity that has none is absent. Where only the base has one,
            its ``seq`` is 0.
        next_seq: the first free place in the order of arrival, reserved for as many events as were asked for.
        spec: digest of the behaviour declaration that the states are of; None where nothing has begun.
    """

    known: Mapping[Name, Decision]
    labels: Mapping[str, LabelEvent]
    states: Mapping[EntityKey, SavedState]
    next_seq: int
    spec: str | None = None


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
        building: of a shared store: the states are still being made from the log, and nobody reads or writes them.
    """

    spec: str
    base: str = ""
    as_of: int | None = None
    seq: int = 0
    pseudonyms: str = ""
    building: bool = False


@dataclass(frozen=True, slots=True)
class Activation:
    """One model version began to answer in place of another.

    Requests that had begun by then are still answered by the one before; each decision says which one decided it.

    Attributes:
        number: place among them, from 1, without gaps.
        version: answers from then on; ``before``: answered until then, None for the first of a store.
        at: microseconds since 1970 UTC, by the clock of the machine that changed over.
        seq: the last place in the order of arrival that was taken then.
        threshold, decline: those of the version.
        by: who wanted it; None where that is not known.
        report: SHA-256 of the report that it was decided on, in hex; None without one.
    """

    number: int
    version: str
    before: str | None
    at: int
    seq: int
    threshold: float
    decline: float | None = None
    by: str | None = None
    report: str | None = None


@dataclass(frozen=True, slots=True)
class ListChange:
    """A value was put on a list, in place of what was said of it there before, or taken off.

    Attributes:
        number: place among all changes, from 1, without gaps.
        at: microseconds since 1970 UTC, by the clock of the machine that changed it.
        name: of the list.
        column: of the transaction; ``value``: of that column, as the log keeps it.
        listed: whether it was put on.
        until: it is no longer on the list from then on, microseconds since 1970 UTC; None for as long as nobody acts.
        by: who changed it; None where that is not known.
        note: why.
    """

    number: int
    at: int
    name: ListName
    column: str
    value: str
    listed: bool = True
    until: int | None = None
    by: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class KeptRules:
    """The text of rules that decided something.

    Attributes:
        version: digest of the text, as decisions name it.
        at: in force from then on, the last time they came into force; microseconds since 1970 UTC.
        text: TOML.
    """

    version: str
    at: int
    text: str


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
