"""What the service must remember, in a list: the log, and by brute force the features that follow from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.store.contract import Label
from models.schema import TransactionSchema
from models.times import parse_time
from tests.models.behaviour import oracle


@dataclass
class Paid:
    """A transaction that was recorded.

    Attributes:
        body: as sent.
        reply: as answered.
        labels: what became known of it, oldest first, and when.
    """

    body: dict[str, Any]
    event: oracle.Event
    reply: bytes = b""
    labels: list[tuple[Label, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.body["transaction_id"])


class Memory:
    """The oracle. Everything is derived from the list anew: what is taken out of it was never there.

    Attributes:
        log: what is recorded, in order of arrival.
        told: every label that changed something, in order of arrival: id, label, change of the fraud counted.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self._keys = {name: behaviour.key for name, behaviour in schema.entity.items()}
        self._sections = {
            name: oracle.Section(
                tuple(behaviour.windows), tuple(behaviour.features), behaviour.label_delay, schema.minor_digits
            )
            for name, behaviour in schema.entity.items()
        }
        self.log: list[Paid] = []
        self.told: list[tuple[str, Label, int]] = []

    def arriving(self, body: dict[str, Any]) -> Paid:
        """A transaction that is not in the log yet."""
        place = (round(body["latitude"] * 1e7), round(body["longitude"] * 1e7))
        time = parse_time(body["timestamp"], "iso8601")
        return Paid(body, oracle.Event(time, round(body["amount"] * 100), place, body))

    def features(self, one: Paid, earlier: Sequence[Paid] = ()) -> dict[str, float] | None:
        """Its features by name; None where it comes too late.

        Args:
            earlier: not in the log yet, but before it.
        """
        found: dict[str, float] = {}
        for entity, key in self._keys.items():
            before = [paid.event for paid in (*self.log, *earlier) if paid.body[key] == one.body[key]]
            if oracle.too_late(before, one.event):
                return None
            values = oracle.features(self._sections[entity], before, one.event)
            found |= {f"{entity}.{name}": value for name, value in values.items()}
        return found

    def label(self, paid: Paid, label: Label, known_at: int) -> None:
        """Something became known. The same again changes nothing."""
        if paid.labels[-1:] == [(label, known_at)]:
            return
        paid.labels.append((label, known_at))
        self.told.append((paid.name, label, int(label == "fraud") - int(paid.event.fraud)))
        paid.event.fraud = label == "fraud"

    def replies(self) -> Iterator[tuple[str, bytes]]:
        """Id and answer of each transaction."""
        return ((paid.name, paid.reply) for paid in self.log)
