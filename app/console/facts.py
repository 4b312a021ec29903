"""What is shown of a transaction: amount, time, whose it is, why it was alerted."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from app.decisions.replies import transaction
from app.generation import Generation
from app.store.records import Decision
from models.errors import CounterfoilError
from models.reasons import Reason
from models.registry import Registry
from models.rows import Batch
from models.schema import TransactionSchema
from models.scorer import Scorer

_UNKNOWN = "—"
#: Reasons that are told, and scorers of former versions that are kept.
REASONS, _KEPT = 3, 2


@dataclass(frozen=True, slots=True)
class Facts:
    """A transaction in words.

    Attributes:
        amount: with its currency; ``value``: as a number, None where there is none.
        who: (column, value) of whose it is, the case's own entity first.
        more: (column, value) of everything else that was sent.
    """

    amount: str
    value: float | None
    who: tuple[tuple[str, str], ...]
    more: tuple[tuple[str, str], ...]

    @staticmethod
    def of(decision: Decision, schema: TransactionSchema) -> Facts:
        """As the transaction was recorded."""
        sent = transaction(decision, schema)
        value = sent.get(schema.amount) if schema.amount else None
        number = float(value) if isinstance(value, int | float) else None
        amount = _UNKNOWN if number is None else f"{number:,.{min(schema.minor_digits, 2)}f} {schema.currency}".strip()
        names = dict.fromkeys([*(behaviour.key for behaviour in schema.entity.values()), *schema.entities])
        who = tuple((name, str(sent[name])) for name in names if sent.get(name) is not None)
        told = {schema.id, schema.amount, schema.timestamp, *names}
        currency = {name for name, column in schema.columns.items() if column.kind == "currency"}
        more = tuple((name, _text(one)) for name, one in sent.items() if name not in told | currency)
        return Facts(amount, number, who, more)


@dataclass(frozen=True, slots=True)
class Why:
    """A reason as it is shown.

    Attributes:
        text: one sentence, with the value against the usual one.
        without: what the score would be without it; None where that is not known.
        passes: whether the payment would pass then.
    """

    text: str
    without: float | None = None
    passes: bool = False


class Explanations:
    """Reasons of recorded alerts, verified where their model version is still there. Any thread."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._scorers: OrderedDict[str, Scorer | None] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, decision: Decision, generation: Generation) -> list[Why]:
        """Why it was alerted, the most telling reason first."""
        scorer = self._scorer(decision.model_version, generation)
        if scorer is None:
            return [Why(one["text"]) for one in from_json(decision.reply)["reasons"][:REASONS]]
        batch = Batch.from_bytes(decision.features, len(scorer.schema.numeric))
        return [_why(one) for one in scorer.reasons(batch, scorer.score(batch, explain=True), 0, REASONS, verify=True)]

    def _scorer(self, version: str, generation: Generation) -> Scorer | None:
        if generation.scorer.manifest.version == version:
            return generation.scorer
        with self._lock:
            if version not in self._scorers:
                try:
                    self._scorers[version] = Scorer.load(self._registry.folder(version))
                except CounterfoilError:
                    self._scorers[version] = None  # it is gone, or damaged: what was answered is told
            self._scorers.move_to_end(version)
            while len(self._scorers) > _KEPT:
                self._scorers.popitem(last=False)
            return self._scorers[version]


def top_reason(decision: Decision) -> str:
    """The first reason as it was answered; empty where nobody asked for reasons."""
    reasons: list[dict[str, Any]] = from_json(decision.reply)["reasons"]
    return str(reasons[0]["text"]) if reasons else ""


def _why(reason: Reason) -> Why:
    verified = reason.verified
    if verified is None:
        return Why(reason.text)
    return Why(reason.text, verified.score, verified.decision == "approve")


def _text(value: Any) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
