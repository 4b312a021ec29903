"""Decisions, labels and keys as bytes, and back."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import cast

from app.store.records import Decision, Label, LabelEvent, SavedState
from models.behaviour.keys import EntityKey

_KEY = struct.Struct("<HH")
_STATE = struct.Struct("<q")
#: seq, time, arrived_at, score, error, threshold, latency_us; lengths of nine parts, -1 for None.
_DECISION = struct.Struct("<qqqdddq9i")
#: seq, known_at, arrived_at, change; lengths of three parts.
_LABEL = struct.Struct("<qqqq3i")
#: What a packed event begins with. Another layout takes another letter. A decision with an Idempotency-Key is that
#: letter, the key's digest, and the decision.
DECISION, LABEL, KEYED = b"D", b"L", b"K"
_DIGEST_BYTES = 16


def id_digest(transaction_id: str) -> bytes:
    """What a transaction is looked up by, 16 bytes."""
    return blake2b(transaction_id.encode(), digest_size=_DIGEST_BYTES).digest()


def pack_keys(keys: Iterable[EntityKey]) -> bytes:
    """Keys one after the other: two lengths, the entity in UTF-8, the key."""
    parts: list[bytes] = []
    for entity, key in keys:
        name = entity.encode()
        parts += (_KEY.pack(len(name), len(key)), name, key)
    return b"".join(parts)


def unpack_keys(packed: bytes) -> tuple[EntityKey, ...]:
    """The keys that :func:`pack_keys` was given."""
    keys: list[EntityKey] = []
    at = 0
    while at < len(packed):
        name, key = _KEY.unpack_from(packed, at)
        at += _KEY.size
        keys.append((packed[at : at + name].decode(), packed[at + name : at + name + key]))
        at += name + key
    return tuple(keys)


def pack_state(state: SavedState) -> bytes:
    """The event it has seen, then its content."""
    return _STATE.pack(state.seq) + state.content


def unpack_state(packed: bytes) -> SavedState:
    """The state that :func:`pack_state` was given."""
    return SavedState(_STATE.unpack_from(packed)[0], packed[_STATE.size :])


def pack_event(event: Decision | LabelEvent) -> bytes:
    """One event of the log: its letter, the numbers, the parts."""
    if isinstance(event, LabelEvent):
        parts = _encoded(event.transaction_id, event.label, event.caller)
        head = _LABEL.pack(event.seq, event.known_at, event.arrived_at, event.change, *_lengths(parts))
        return b"".join((LABEL, head, *(part or b"" for part in parts)))
    parts = _encoded(
        event.transaction_id,
        event.digest,
        event.body,
        event.features,
        event.decision,
        event.model_version,
        event.reply,
        event.caller,
        pack_keys(event.keys),
    )
    numbers = (event.seq, event.time, event.arrived_at, event.score, event.error, event.threshold, event.latency_us)
    keyed = b"" if event.idempotency_digest is None else KEYED + event.idempotency_digest
    return b"".join((keyed, DECISION, _DECISION.pack(*numbers, *_lengths(parts)), *(part or b"" for part in parts)))


def unpack_event(packed: bytes) -> Decision | LabelEvent:
    """The event that :func:`pack_event` was given."""
    return unpack_label(packed) if packed.startswith(LABEL) else unpack_decision(packed)


def unpack_label(packed: bytes) -> LabelEvent:
    """The label that :func:`pack_event` was given."""
    seq, known_at, arrived_at, change, *lengths = _LABEL.unpack_from(packed, 1)
    transaction_id, label, caller = _cut(packed, 1 + _LABEL.size, lengths)
    verdict = cast(Label, _text(label))
    return LabelEvent(seq, _text(transaction_id), verdict, known_at, arrived_at, _maybe(caller), change)


def unpack_decision(packed: bytes) -> Decision:
    """The decision that :func:`pack_event` was given."""
    idempotency_digest = None
    if packed.startswith(KEYED):
        idempotency_digest, packed = packed[1 : 1 + _DIGEST_BYTES], packed[1 + _DIGEST_BYTES :]
    seq, time, arrived_at, score, error, threshold, latency_us, *lengths = _DECISION.unpack_from(packed, 1)
    transaction_id, *parts, caller, keys = _cut(packed, 1 + _DECISION.size, lengths)
    digest, body, features, decision, model_version, reply = (part or b"" for part in parts)
    return Decision(
        seq=seq,
        transaction_id=_maybe(transaction_id),
        digest=digest,
        time=time,
        arrived_at=arrived_at,
        body=body.decode(),
        features=features,
        score=score,
        error=error,
        threshold=threshold,
        decision=decision.decode(),
        model_version=model_version.decode(),
        reply=reply,
        caller=_maybe(caller),
        latency_us=latency_us,
        keys=unpack_keys(keys or b""),
        idempotency_digest=idempotency_digest,
    )


def _encoded(*parts: str | bytes | None) -> list[bytes | None]:
    return [part.encode() if isinstance(part, str) else part for part in parts]


def _lengths(parts: Sequence[bytes | None]) -> list[int]:
    return [-1 if part is None else len(part) for part in parts]


def _cut(packed: bytes, at: int, lengths: Sequence[int]) -> list[bytes | None]:
    parts: list[bytes | None] = []
    for length in lengths:
        parts.append(None if length < 0 else packed[at : at + length])
        at += max(length, 0)
    return parts


def _maybe(part: bytes | None) -> str | None:
    return None if part is None else part.decode()


def _text(part: bytes | None) -> str:
    return (part or b"").decode()
