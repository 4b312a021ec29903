"""What a store keeps for the console: cases and who did what. No word of SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.behaviour.keys import EntityKey

#: ``snoozed`` until a time, or a higher score of the same card; ``escalated`` to seniors.
State = Literal["open", "escalated", "snoozed", "closed"]


@dataclass(frozen=True, slots=True)
class Case:
    """The alerts of one card, from the first one until somebody decides; where a model knows no card, one alert.

    Attributes:
        id: place in the log of its first alert; ``seq``: of the highest; ``last``: of the latest.
        entity, key: whose it is; None where the model has no behaviour features.
        hits: how many alerts.
        score: of the highest.
        opened_at, until, held_until, decided_at: microseconds since 1970 UTC.
        holder: who works on it; nobody else decides before ``held_until``.
        verdict: as decided; ``decided_by``: a name of the console.
    """

    id: int
    entity: str | None
    key: bytes | None
    seq: int
    last: int
    hits: int
    score: float
    opened_at: int
    state: State
    until: int | None = None
    holder: str | None = None
    held_until: int | None = None
    verdict: str | None = None
    decided_by: str | None = None
    decided_at: int | None = None

    @property
    def entity_key(self) -> EntityKey | None:
        """Under which its transactions are found."""
        return None if self.entity is None or self.key is None else (self.entity, self.key)

    def held_by(self, now: int) -> str | None:
        """Who holds it now."""
        return self.holder if self.held_until is not None and self.held_until > now else None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody did.

    Attributes:
        id: place among them, from 1, without gaps.
        subject: what it was done to, where that is no case: a user, a model version, a list.
        text: a note, or a reason. None once it is erased.
        before: JSON: what it replaced, so that it can be undone; or what it proposes, until that is decided.
        undone_by: the event that took it back.
    """

    id: int
    at: int
    actor: str
    action: str
    case_id: int | None = None
    subject: str | None = None
    text: str | None = None
    before: str | None = None
    undone_by: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cases of the queue: those of which all that is not None holds.

    Attributes:
        holder: "free", "held", or the name of who holds it.
        now: microseconds; claims that end by then hold nothing.
        opened_before: microseconds.
    """

    state: State = "open"
    holder: str | None = None
    now: int = 0
    min_score: float | None = None
    opened_before: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of the queue begins: after (or, ``back``, before) this score and id; the end is before nothing."""

    score: float | None = None
    id: int | None = None
    back: bool = False


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases there are of each kind."""

    open: int = 0
    escalated: int = 0
    snoozed: int = 0
    mine: int = 0
    others: int = 0
