"""What a transaction of a Redis store reads and writes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from app.store.errors import StoreUnavailable
from app.store.packing import pack_event, pack_state, unpack_decision, unpack_label, unpack_state
from app.store.records import Name, SavedState, View, Writes
from app.store.redis.keys import Beginning, RedisKeys
from app.store.redis.wire import Command, Lost, Wire, Wires
from models.behaviour.keys import EntityKey

#: Seconds to learn what became of a transaction whose answer was lost.
_DOUBT = 3.0


def view(
    wire: Wire,
    keys: RedisKeys,
    begun: Beginning,
    asked: Sequence[Name],
    entities: Sequence[EntityKey],
    labelled: Sequence[str],
    events: int,
) -> tuple[Beginning, View]:
    """What the store holds of these names and entities; from now on they are watched.

    Args:
        begun: the beginning that the states are thought to be of.
        labelled: ids whose latest label is wanted.
        events: places to reserve.

    Returns:
        The beginning they are of, and the view. Where that is another, the view's states are none.
    """
    names = [
        keys.origin,
        *map(keys.name, asked),
        *map(keys.label, labelled),
        *(keys.state(begun.number, entity) for entity in entities),
    ]
    # The places are reserved after the watch began: what gets in between has smaller ones, and is noticed.
    reserve: Command = ("INCRBY", keys.seq, events) if events else ("GET", keys.seq)
    _, (origin, *found), last = wire.run(("WATCH", *names), ("MGET", *names), reserve)
    begun = Beginning.parse(origin)
    of_labels, of_states = len(asked), len(asked) + len(labelled)
    known = [(name, int(seq)) for name, seq in zip(asked, found, strict=False) if seq is not None]
    labels = [unpack_label(packed) for packed in found[of_labels:of_states] if packed is not None]
    saved = zip(entities, found[of_states:], strict=True)
    states = {entity: unpack_state(packed) for entity, packed in saved if packed is not None}
    missing = [entity for entity in entities if entity not in states] if begun.has_base else []
    wanted = [("HGET", keys.events(seq), seq) for _, seq in known]
    replies = wire.run(*wanted, *(("HGET", keys.base(begun.number, name), key) for name, key in missing))
    for entity, content in zip(missing, replies[len(known) :], strict=True):
        if content is not None:
            states[entity] = SavedState(0, content)
    return begun, View(
        # One that was erased a moment ago counts as never recorded: its name is gone, too, and is watched.
        known={name: unpack_decision(packed) for (name, _), packed in zip(known, replies, strict=False) if packed},
        labels={label.transaction_id: label for label in labels},
        states=states,
        next_seq=int(last or 0) + 1 - events,
        spec=None if begun.origin is None else begun.origin.spec,
    )


def commit(wires: Wires, wire: Wire, keys: RedisKeys, number: int, writes: Writes) -> bool:
    """False, and nothing written, where something that ``wire`` watches has changed.

    Args:
        wires: to ask what became of it, where the connection breaks.
        number: of the beginning that the states are of.
    """
    try:
        *_, done = wire.run(("MULTI",), *_commands(keys, number, writes), ("EXEC",))
    except Lost:
        if _has_landed(wires, keys, writes):
            return True
        raise
    if done is None:
        return False
    if any(isinstance(reply, Exception) for reply in done):
        raise StoreUnavailable(f"{wires.name}: keys under {keys.prefix} are not this store's; name another database")
    return True


def _has_landed(wires: Wires, keys: RedisKeys, writes: Writes) -> bool:
    """Raises nothing: where the server stays away, the transaction counts as failed."""
    seqs = [decision.seq for decision in writes.decisions] + [label.seq for label in writes.labels]
    deadline = time.monotonic() + _DOUBT
    while seqs:
        try:
            return bool(wires.one("HEXISTS", keys.events(seqs[0]), seqs[0]))
        except StoreUnavailable:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
    return False


def _commands(keys: RedisKeys, beginning: int, writes: Writes) -> Iterator[Command]:
    """All of it, to be run as one.

    Args:
        beginning: the number under which the states are kept.
    """
    for decision in writes.decisions:
        yield ("HSET", keys.events(decision.seq), decision.seq, pack_event(decision))
        for name in decision.names:
            yield ("SET", keys.name(name), decision.seq)
        for key in dict.fromkeys(decision.keys):
            yield ("ZADD", keys.entity(key), decision.seq, decision.seq)
    for label in writes.labels:
        packed = pack_event(label)
        yield ("HSET", keys.events(label.seq), label.seq, packed)
        yield ("SET", keys.label(label.transaction_id), packed)
        yield ("RPUSH", keys.labels(label.transaction_id), label.seq)
    for key, state in writes.states.items():
        yield ("SET", keys.state(beginning, key), pack_state(state))
    if writes.watermark is not None:
        yield ("SET", keys.watermark, writes.watermark)
