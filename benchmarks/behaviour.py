"""Behaviour features: rows a second offline on one core, and microseconds a transaction as the service does it.

    python benchmarks/behaviour.py                                      # 1.4 million rows, 50,000 cards
    python benchmarks/behaviour.py --days 5 --cards 200 --live 100      # a tiny run

"kernel": the card section from ready events. "with keys": all sections, from columns, with the hashing of keys and
values. Online: from a validated row to its features, card and merchant: events made, states copied, copies advanced.
Times are of the thread's processor, so that a busy machine does not count; --wall takes the clock.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.behaviour.events import Behaviour, Entity, EntityEvents
from models.behaviour.keys import EntityKey
from models.behaviour.replay import State, empty, packed, replay, replay_entity, step
from models.schema import TransactionSchema, load_schema
from training.simulate import SimulationConfig, simulate

_MISSING: NDArray[np.int64] = np.empty(0, np.int64)


def columns(schema: TransactionSchema, frame: pl.DataFrame) -> Callable[[Behaviour], list[EntityEvents]]:
    """What makes the events of a simulated table."""
    moment = frame["timestamp"].cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()
    numeric = frame.select(schema.sent_numeric).to_numpy().astype(float)
    text = [frame[name] for name in schema.categorical]
    entities = {name: frame[name] for name in schema.entities}
    fraud = frame["is_fraud"].to_numpy() == 1
    return lambda behaviour: behaviour.of_columns(moment, numeric, text, entities, fraud)


def live_rows(schema: TransactionSchema, frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """The last rows as the service's request model gives them."""
    moment = pl.col("timestamp").cast(pl.Datetime("us")).cast(pl.Int64)
    yield from frame.with_columns(moment).iter_rows(named=True)


def online(
    behaviour: Behaviour, states: dict[EntityKey, State], rows: Iterator[dict[str, Any]], clock: Callable[[], int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Microseconds [n] of making events, and of all, events included."""
    entities: dict[str, Entity] = {entity.name: entity for entity in behaviour.entities}
    making, all_ = [], []
    for row in rows:
        start = clock()
        events = behaviour.of_row(row)
        made = clock()
        features = np.empty(behaviour.width)
        moved = {}
        for key, event in events:
            entity = entities[key[0]]
            before = states.get(key, _MISSING)
            state = before.copy() if len(before) else empty(entity)
            moved[key], _ = step(entity, state, event, features[entity.out])
        states |= moved
        end = clock()
        making.append((made - start) / 1e3)
        all_.append((end - start) / 1e3)
    return np.array(making), np.array(all_)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--cards", type=int, default=12_000, help="offline")
    parser.add_argument("--live", type=int, default=50_000, help="cards that are warm online")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wall", action="store_true")
    args = parser.parse_args()
    seconds, nanoseconds = (
        (time.perf_counter, time.perf_counter_ns) if args.wall else (time.thread_time, time.thread_time_ns)
    )
    schema = load_schema("payments")
    behaviour = Behaviour(schema)
    card = behaviour.entities[0]

    frame = simulate(SimulationConfig(days=args.days, cards=args.cards, merchants=max(20, args.cards // 5)))
    make = columns(schema, frame)
    events = make(behaviour)
    replay(behaviour, events)  # compiles

    def rate(work: Callable[[], object]) -> float:
        start = seconds()
        work()
        return frame.height / (seconds() - start)

    kernel = statistics.median(rate(lambda: replay_entity(card, events[0])) for _ in range(args.runs))
    keys = statistics.median(rate(lambda: replay(behaviour, make(behaviour))) for _ in range(args.runs))

    warm = simulate(SimulationConfig(days=40, cards=args.live, merchants=max(20, args.live // 20), seed=1))
    kept, last = warm.head(warm.height * 39 // 40), warm.tail(warm.height // 40)
    states = replay(behaviour, columns(schema, kept)(behaviour), keep=True).states
    making, all_ = online(behaviour, dict(states), live_rows(schema, last), nanoseconds)

    print("| Step | Rows | Result |\n|---|--:|--:|")
    print(f"| Offline, kernel, card section | {frame.height:,} | {kernel:,.0f} rows/s |")
    print(f"| Offline with keys, both sections | {frame.height:,} | {keys:,.0f} rows/s |")
    for name, values in (("of_row only", making), ("all", all_)):
        p50, p99 = np.percentile(values, (50, 99))
        print(f"| Online, {name}, p50 / p99 | {len(values):,} | {p50:.1f} / {p99:.1f} µs |")
    cards = [state for (entity, _), state in states.items() if entity == card.name]
    print(
        f"| State of a card, mean of {len(cards):,}, packed | |"
        f" {np.mean([state.nbytes for state in cards]):,.0f} bytes |"
    )
    for count in (30, 60, 100, 4_096):
        live = long_state(card, count)
        print(
            f"| State of a card with {count:,} events, live / packed | |"
            f" {live.nbytes:,} / {packed(card, live).nbytes:,} bytes |"
        )


def long_state(entity: Entity, count: int) -> State:
    """A live state with so many events, a second apart."""
    state, out = empty(entity), np.empty(len(entity.behaviour.derived))
    event = np.zeros(4 + len(entity.behaviour.code_columns), np.int64)
    for second in range(count):
        event[0] = second * 1_000_000
        state, _ = step(entity, state, event, out)
    return state


if __name__ == "__main__":
    main()
