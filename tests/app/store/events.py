"""Decisions, labels and small transactions to test stores with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.store.contract import Store
from app.store.records import Decision, Label, LabelEvent, Name, SavedState, View, Writes
from models.behaviour.keys import EntityKey

SECRET = "the-callers-own-value"


def key(name: str, entity: str = "card") -> EntityKey:
    return entity, hashlib.blake2b(name.encode(), digest_size=16).digest()


def decision(transaction_id: str | None, *keys: EntityKey, seq: int = 0, **changes: Any) -> Decision:
    base = Decision(
        seq=seq,
        transaction_id=transaction_id,
        digest=hashlib.sha256((transaction_id or "").encode()).digest(),
        time=1_700_000_000_000_000,
        arrived_at=1_700_000_000_000_001,
        body=f'{{"id": "{SECRET}"}}',
        features=b"\x00\x01features",
        score=0.1,
        error=1e-300,
        threshold=0.99,
        decision="approve",
        model_version="20260101T000000Z-abcdef01",
        reply=b'{"score": 0.1}',
        caller=None,
        latency_us=350,
        keys=keys,
    )
    return replace(base, **changes)


def label(transaction_id: str, verdict: Label = "fraud", seq: int = 0, known_at: int = 5) -> LabelEvent:
    return LabelEvent(seq, transaction_id, verdict, known_at, 7, "analyst")


def append(
    store: Store,
    *events: Decision | LabelEvent,
    states: Mapping[EntityKey, bytes] | None = None,
    watermark: int | None = None,
) -> list[Decision | LabelEvent]:
    """Write events at the next places, in order, and states that have seen the last of them."""
    written: list[Decision | LabelEvent] = []

    def work(view: View) -> Writes:
        written[:] = [replace(event, seq=view.next_seq + place) for place, event in enumerate(events)]
        last = view.next_seq + len(events) - 1
        return Writes(
            decisions=[event for event in written if isinstance(event, Decision)],
            labels=[event for event in written if isinstance(event, LabelEvent)],
            states={name: SavedState(last, content) for name, content in (states or {}).items()},
            watermark=watermark,
        )

    names: list[Name] = []
    for event in events:
        names += event.names if isinstance(event, Decision) else (event.transaction_id,)
    store.transact(names, list(states or {}), len(events), work)
    return written


def look(store: Store, names: Sequence[Name] = (), keys: Sequence[EntityKey] = ()) -> View:
    """What a transaction that writes nothing sees."""
    seen: list[View] = []

    def work(view: View) -> Writes:
        seen.append(view)
        return Writes()

    store.transact(names, keys, 0, work, [name for name in names if isinstance(name, str)])
    return seen[-1]
