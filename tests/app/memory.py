"""What the service must remember, in lists: the log, what each card and merchant has seen, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.requests.strict_object import Row
from app.store.records import Label
from models.behaviour.events import Behaviour
from models.behaviour.kernel import relabel
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty, step
from models.schema import TransactionSchema
from models.times import parse_time
from tests.models.behaviour import oracle


@dataclass
class Paid:
    """A transaction that was recorded.

    Attributes:
        body: as sent.
        reply: as answered.
        arrived_at: as recorded, microseconds since 1970 UTC.
        labels: what became known of it, oldest first, and when.
    """

    body: dict[str, Any]
    event: oracle.Event
    reply: bytes = b""
    arrived_at: int = 0
    labels: list[tuple[Label, int]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Its id."""
        return str(self.body["transaction_id"])


class Memory:
    """The oracle. What is erased leaves the log; what has seen it, by section and value, goes on counting it.

    Attributes:
        log: what is recorded, in order of arrival.
        told: every label that changed something, in order of arrival: id, label, change of the fraud counted.
        erased: what was, under ids that are free again.
        seen: the events of each entity, in order of arrival, the erased ones as well; it goes when it is erased itself.
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
        self.erased: list[Paid] = []
        self.seen: dict[tuple[str, str], list[oracle.Event]] = {}

    def arriving(self, body: dict[str, Any]) -> Paid:
        """A transaction that is not in the log yet."""
        place = (round(body["latitude"] * 1e7), round(body["longitude"] * 1e7))
        time = parse_time(body["timestamp"], "iso8601")
        return Paid(body, oracle.Event(time, round(body["amount"] * 100), place, body))

    def features(self, one: Paid, earlier: Sequence[Paid] = ()) -> dict[str, float] | None:
        """Its features by name, from all that its entities have seen; None where it comes too late.

        Args:
            earlier: not in the log yet, but before it.
        """
        found: dict[str, float] = {}
        for entity, key in self._keys.items():
            before = [*self.seen.get((entity, one.body[key]), ())]
            before += [paid.event for paid in earlier if paid.body[key] == one.body[key]]
            if oracle.too_late(before, one.event):
                return None
            values = oracle.features(self._sections[entity], before, one.event)
            found |= {f"{entity}.{name}": value for name, value in values.items()}
        return found

    def record(self, one: Paid) -> None:
        """It is in the log."""
        self.log.append(one)
        self.erased = [paid for paid in self.erased if paid.name != one.name]
        for entity, key in self._keys.items():
            self.seen.setdefault((entity, one.body[key]), []).append(one.event)

    def label(self, paid: Paid, label: Label, known_at: int) -> int:
        """Something became known; the change of the fraud counted. The same again changes nothing."""
        if paid.labels[-1:] == [(label, known_at)]:
            return 0
        change = int(label == "fraud") - int(paid.event.fraud)
        paid.labels.append((label, known_at))
        self.told.append((paid.name, label, change))
        paid.event.fraud = label == "fraud"
        return change

    def erase(self, gone: Sequence[Paid]) -> None:
        """These leave the log, with their labels."""
        names = {paid.name for paid in gone}
        self.log = [paid for paid in self.log if paid.name not in names]
        self.told = [told for told in self.told if told[0] not in names]
        self.erased += gone

    def replies(self) -> Iterator[tuple[str, bytes]]:
        """Id and answer of each transaction."""
        return ((paid.name, paid.reply) for paid in self.log)


class Unsaved:
    """What states are to the last bit: the kernel's, in memory alone, never saved, replayed or compacted.

    Attributes:
        states: of each entity that has seen something.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self._behaviour = Behaviour(schema)
        self._entities = {entity.name: entity for entity in self._behaviour.entities}
        self.states: dict[EntityKey, State] = {}

    def pay(self, row: Row) -> NDArray[np.float64]:
        """Its features."""
        features = np.empty(self._behaviour.width)
        for key, event in self._behaviour.of_row(row):
            entity = self._entities[key[0]]
            self.states[key], _ = step(entity, self.states.get(key, empty(entity)), event, features[entity.out])
        return features

    def label(self, row: Row, change: int) -> None:
        """The fraud counted at its time changes."""
        for key, event in self._behaviour.of_row(row) if change else ():
            relabel(self.states[key], self._entities[key[0]].plan, event[0], change)
