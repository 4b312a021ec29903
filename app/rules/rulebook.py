"""The lists and rules in force: from a transaction and what the model says of it to the decision that is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.rules.conditions import Conditions
from app.rules.facts import Facts, Opinion
from app.rules.lists import Lists
from app.rules.verdict import Wish, final
from app.store.records import ListName
from models.schema import TransactionSchema
from models.thresholds import Decision

_WISHES: Mapping[ListName, Wish] = {"allow": "approve", "block": "decline", "watch": "review", "snooze": "snooze"}
#: In place of the version of rules where there are none.
NO_RULES = "none"


@dataclass(frozen=True, slots=True)
class Ruling:
    """What becomes of a transaction.

    Attributes:
        decision: the final one.
        matched: what it follows from: lists as ``block:card_id``, then rules by their names, in the file's order.
        version: of the rules, a point, and the number of the lists' last change: with both it can be decided again.
    """

    decision: Decision
    matched: tuple[str, ...]
    version: str


class Rulebook:
    """Belongs to one thread; a column has one meaning for as long as a store lives, so that it outlives model versions.

    Args:
        schema: of the transactions.

    Attributes:
        lists: as far as they are known here.
        rules: None where there are none.
    """

    def __init__(self, schema: TransactionSchema) -> None:
        self._facts = Facts(schema)
        self.lists = Lists()
        self.rules: Conditions | None = None
        self._failed: set[str] = set()
        self._news: dict[str, str] = {}

    @property
    def in_force(self) -> bool:
        """Whether anything but the model has a say."""
        return self.rules is not None or self.lists.number > 0

    def rule(
        self,
        sent: Mapping[str, Any],
        numbers: Sequence[float],
        time: int,
        arrived_at: int,
        opinion: Opinion,
        number: int | None = None,
    ) -> Ruling:
        """Decide a transaction.

        Args:
            sent: it, as the log keeps it.
            numbers: as the detector was given them.
            time: of the transaction; ``arrived_at``: at the service, microseconds since 1970 UTC.
            number: of the last change of the lists that counts; by default all of them.
        """
        hits = self.lists.hits(sent, arrived_at, number) if self.lists.number else ()
        wishes: list[Wish] = [_WISHES[hit.name] for hit in hits]
        matched = [str(hit) for hit in hits]
        if self.rules is not None:
            values = self._facts.of(self.rules.names, sent, numbers, time, opinion, hits)
            found = self.rules.of(values)
            wishes += [rule.outcome for rule in found.matching]
            matched += [rule.name for rule in found.matching]
            for name, why in found.failed.items():
                if name not in self._failed:
                    self._failed.add(name)
                    self._news[name] = why
        rules = self.rules.document.version if self.rules else NO_RULES
        version = f"{rules}.{self.lists.number if number is None else number}"
        return Ruling(final(wishes, opinion.decision), tuple(matched), version)

    def take(self, rules: Conditions | None) -> None:
        """Decide by other rules from now on."""
        self.rules = rules
        self._failed.clear()

    def news(self) -> dict[str, str]:
        """Rules that failed for the first time since the last call, and why."""
        if not self._news:
            return {}
        found, self._news = self._news, {}
        return found
