"""Decisions and labels as rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.store.packing import id_digest, pack_keys, unpack_keys
from app.store.records import Decision, LabelEvent

Row = Sequence[Any]


def as_decision(row: Row) -> Decision:
    """Of the columns in the order of the fields."""
    fields = (*row[:-2], unpack_keys(row[-2]), row[-1])
    return Decision(*fields)


def as_label(row: Row) -> LabelEvent:
    """Of the columns in the order of the fields."""
    return LabelEvent(*row)


def decision_row(decision: Decision) -> tuple[Any, ...]:
    """All columns of ``decisions``."""
    return (
        decision.seq,
        decision.transaction_id,
        decision.digest,
        decision.time,
        decision.arrived_at,
        decision.body,
        decision.features,
        decision.score,
        decision.error,
        decision.threshold,
        decision.decision,
        decision.model_version,
        decision.reply,
        decision.caller,
        decision.latency_us,
        pack_keys(decision.keys),
        None if decision.transaction_id is None else id_digest(decision.transaction_id),
        decision.idempotency_digest,
    )


def label_row(label: LabelEvent) -> tuple[Any, ...]:
    """All columns of ``labels``."""
    return (
        label.seq,
        label.transaction_id,
        label.label,
        label.known_at,
        label.arrived_at,
        label.caller,
        label.change,
        id_digest(label.transaction_id),
    )
