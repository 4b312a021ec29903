"""What a worker asks of a broker, and what becomes of a message. Kafka and Redis Streams implement it alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic_core import to_json

from app.refusals import FieldProblem
from models.errors import CounterfoilError
from models.pan import contains_card_number


class Unavailable(CounterfoilError):
    """The broker does not answer now; what was asked of it may be asked again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as it lies on the broker.

    Attributes:
        value: the transaction as JSON; None where the message has none.
        key: Kafka's; None where there is none.
        origin: what names its place, e.g. ``{"topic": "payments", "partition": "3", "offset": "1204"}``.
        token: what the broker acknowledges it by.
    """

    value: bytes | None
    key: bytes | None
    origin: Mapping[str, str]
    token: Any

    @property
    def place(self) -> str:
        """For the log: ``payments 3 1204``."""
        return " ".join(self.origin.values())


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a message can never be scored: a problem of the API, or one of the worker's own.

    Attributes:
        kind: as in ``type`` of a problem, e.g. ``invalid-transaction``.
        detail, errors: without a value of the message.
    """

    kind: str
    detail: str
    errors: tuple[FieldProblem, ...] = ()

    def __str__(self) -> str:
        fields = "; ".join(f"{one.field}: {one.message}" for one in self.errors[:3])
        return f"{self.kind}: {fields or self.detail}"


@dataclass(frozen=True, slots=True)
class Settled:
    """A message and what became of it.

    Attributes:
        outcome: the service's answer as JSON, or why there will never be one.
    """

    message: Message
    outcome: bytes | Reason


class Broker(Protocol):
    """Where messages come from. What is read is the worker's until it is settled, or the worker ends."""

    def read(self, most: int) -> Sequence[Message]:
        """The next messages, those of a partition in its order; none where none comes within a second.

        Raises:
            Unavailable: it does not answer.
            CounterfoilError: it will not give any; the message says why.
        """

    def keep(self) -> None:
        """Say that the worker lives and still has what it has read: called every second while it waits."""

    def settle(self, settled: Sequence[Settled]) -> None:
        """Write results and dead letters; once those are safe, acknowledge all.

        Raises:
            Unavailable: it does not answer; to be called again with the same.
            CounterfoilError: it takes none.
        """

    def lag(self) -> int | None:
        """Messages that are not settled, of those that are this worker's to read; None where that is not known."""

    def close(self) -> None:
        """Leave: others may have what was read and is not settled."""


def dead_letter(message: Message, reason: Reason) -> tuple[bytes | None, bytes | None, dict[str, str]]:
    """A message as it is put aside: its value, its key, and why it lies there.

    Where value or key look like they hold a card number they stay behind: the origin says where to find them.
    """
    why = {"kind": reason.kind, "detail": reason.detail, **message.origin}
    if reason.errors:
        why["errors"] = to_json(reason.errors).decode()
    parts = (message.value, message.key)
    if any(part is not None and contains_card_number(part.decode(errors="replace")) for part in parts):
        return None, None, why | {"withheld": "it looks like it holds a card number"}
    return *parts, why
