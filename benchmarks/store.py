"""The recorder with many cards: what a write costs, what memory holds, how long a start takes after a kill.

    python benchmarks/store.py                              # 1 million cards and as many payments, 15 minutes
    python benchmarks/store.py --cards 1000 --timed 50      # a tiny run

Every card has 29 days of payments behind it, as the base of an embedded store, and makes about one more. They are
recorded in the order of their time by a process of its own, a few singly and in sixteens for the timings, the others
in crowds of 256 with durability normal. Then states of cards that had gone to the disk are compared with a replay of
their payments, the process is killed, and two others are timed: one goes on from the saved states, one from the base
alone. "compute" is features, score and reply without reasons; "log" is what the store takes beside it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import to_json
from sqlalchemy import create_engine

from app.generation import Generation
from app.pseudonyms import NO_PSEUDONYMS
from app.recording.answers import Answer
from app.recording.recorder import Recorder
from app.requests.arrival import Arrival, ScoreOptions
from app.settings import Settings
from app.store.open import open_store
from app.store.records import Name, Origin, View, Writes
from models.behaviour.events import Behaviour
from models.behaviour.keys import EntityKey, key_digest
from models.behaviour.replay import State, content, packed, replay_entity
from models.parsing import parse_rows
from models.registry import Registry
from models.schema import TransactionSchema, load_schema
from models.scorer import Scorer

DAYS, PART, COMPARED = 30, 100_000, 2_000
_CROWD = 256


def fit(folder: Path) -> Path:
    """A registry with a small model of the payments profile: its speed is that of a large one."""
    # Here, since the process that records must not hold torch.
    from models.thresholds import Policy
    from training.fit import FitOptions
    from training.read import read_history
    from training.simulate import SimulationConfig, simulate, write
    from training.train import TrainingJob, train

    write(simulate(SimulationConfig(days=60, cards=300, merchants=100)), folder / "payments.parquet")
    schema = load_schema("payments")
    registry = Registry(folder / "artifacts")
    job = TrainingJob(schema, FitOptions(steps=50), Policy(name="alert-rate", value=0.005))
    manifest, _ = train(job, read_history(schema, [folder / "payments.parquet"]), registry)
    registry.activate(manifest.version)
    return registry.root


def parts(cards: int) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Simulated payments, some cards at a time: those of the first days and those of the last, in the order of time."""
    from training.simulate import SimulationConfig, last_days, simulate

    for part, start in enumerate(range(0, cards, PART)):
        config = SimulationConfig(days=DAYS, cards=min(PART, cards - start), merchants=2_000, seed=part)
        own = [pl.format("{}-{}", pl.lit(part), pl.col(name)).alias(name) for name in ("card_id", "transaction_id")]
        frame = simulate(config).with_columns(own)
        last = last_days(frame, config, 1)
        yield frame.head(frame.height - last.height), last


def states(
    schema: TransactionSchema, frame: pl.DataFrame, before: Callable[[EntityKey], State | None] | None = None
) -> dict[EntityKey, State]:
    """The cards' states after these payments."""
    behaviour = Behaviour(schema)
    card = behaviour.entities[0]
    rows = parse_rows(schema, frame)
    assert rows.good.all()
    entities = {name: frame[name] for name in schema.entities}
    events = behaviour.of_columns(rows.time, rows.numeric, rows.text, entities)
    return replay_entity(card, events[0], before=before, keep=True)[2]


def prepare(folder: Path, cards: int, url: str) -> None:
    """Fill the base of the store with the first days, and write the last day aside, to be recorded."""
    schema = load_schema("payments")
    behaviour = Behaviour(schema)
    base: dict[EntityKey, State] = {}
    last, as_of = [], 0
    for first_days, last_day in parts(cards):
        base |= {key: packed(behaviour.entities[0], state) for key, state in states(schema, first_days).items()}
        as_of = max(as_of, int(first_days["timestamp"].dt.epoch("us").to_numpy()[-1]))
        last.append(last_day)
    pl.concat(last).sort("timestamp").write_parquet(folder / "last.parquet")
    print(f"| Base: cards, mean state | {len(base):,}, {np.mean([s.nbytes for s in base.values()]):,.0f} bytes |")
    store = open_store(url, durability="normal")
    begun = time.perf_counter()
    store.begin(Origin(behaviour.spec, "", as_of), ((key, state.tobytes()) for key, state in base.items()))
    print(f"| Base written | {time.perf_counter() - begun:.1f} s |", flush=True)
    store.close()


class Timed:
    """A store that notes what it takes beside the work it is given."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.store_us: list[float] = []
        self.work_us: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def transact(
        self,
        names: Sequence[Name],
        keys: Sequence[EntityKey],
        events: int,
        work: Callable[[View], Writes],
        labelled: Sequence[str] = (),
    ) -> None:
        """As the store does."""
        inside = 0.0

        def timed(view: View) -> Writes:
            nonlocal inside
            begun = time.perf_counter()
            writes = work(view)
            inside = time.perf_counter() - begun
            return writes

        begun = time.perf_counter()
        self._store.transact(names, keys, events, timed, labelled)
        self.store_us.append((time.perf_counter() - begun - inside) * 1e6)
        self.work_us.append(inside * 1e6)


def opened(settings: Settings) -> tuple[Recorder, Generation]:
    """A recorder and a model as the service opens them."""
    generation = Generation.of(settings, Scorer.load(Registry(settings.artifacts).resolve(None)))
    return Recorder.open(settings, generation.scorer, generation.pseudonyms), generation


def sent(generation: Generation, frame: pl.DataFrame) -> list[Arrival]:
    """The rows as they arrive."""
    schema, none = generation.schema, ScoreOptions(0)
    rows = frame.select(schema.inputs).with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    bodies = (to_json(row) for row in rows.iter_rows(named=True))
    return [generation.encoder.row(generation.requests.one(body), none) for body in bodies]


def record(settings: Settings, folder: Path, timed: int) -> None:
    """The process that records, and is killed."""
    frame = pl.read_parquet(folder / "last.parquet")
    for crowd, durability in ((1, "full"), (16, "full"), (_CROWD, "normal")):
        recorder, generation = opened(settings.model_copy(update={"durability": durability}))
        recorder.states.store = watch = Timed(recorder.store)
        most = crowd * timed if durability == "full" else frame.height
        rows, frame = frame.head(most), frame.slice(min(most, frame.height))
        begun = time.perf_counter()
        for part in rows.iter_slices(_CROWD * 16):
            arrivals = sent(generation, part)
            for start in range(0, len(arrivals), crowd):
                answers = recorder.answer(generation.engine, arrivals[start : start + crowd])
                assert all(isinstance(answer, Answer) for answer in answers)
        took = time.perf_counter() - begun
        for name, values in (("log", watch.store_us), ("compute", watch.work_us)):
            p50, p99 = np.percentile(values, (50, 99)) / 1e3
            print(f"| {crowd} at once, {durability}: {name}, p50 / p99 | {p50:.2f} / {p99:.2f} ms |")
        print(
            f"| {crowd} at once, {durability}: payments/s, with making the requests | {rows.height / took:,.0f} |",
            flush=True,
        )
        if durability == "full":
            recorder.close()
    gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    held = recorder.states
    print(f"| States in memory at the end, in bytes | {len(held):,}, {held.bytes / 2**30:.2f} GiB |")
    print(f"| Peak memory of the process | {gib:.2f} GiB |", flush=True)
    compare(recorder, generation.scorer, folder)
    os.kill(os.getpid(), 9)


def compare(recorder: Recorder, scorer: Scorer, folder: Path) -> None:
    """States that are not in memory any more, against a replay of the cards' payments."""
    last = pl.read_parquet(folder / "last.parquet")
    card = Behaviour(scorer.schema).entities[0]
    ids = last["card_id"].unique(maintain_order=True)
    gone = [one for one in ids if (card.name, key_digest(one)) not in recorder.states][:COMPARED]
    keys = [(card.name, key_digest(one)) for one in gone]
    found = recorder.states.peek(keys)
    base = recorder.store.base_states(keys)
    again = states(
        scorer.schema,
        last.filter(pl.col("card_id").is_in(gone)),
        lambda key: np.frombuffer(base[key], np.int64) if key in base else None,
    )
    differ = sum(not np.array_equal(content(card, found[key]), content(card, again[key])) for key in keys)
    print(f"| States back from disk compared, differing | {len(keys):,}, {differ} |", flush=True)


def restart(settings: Settings, what: str) -> None:
    """A process that starts where another was killed."""
    scorer = Scorer.load(Registry(settings.artifacts).resolve(None))
    begun = time.perf_counter()
    recorder = Recorder.open(settings, scorer, NO_PSEUDONYMS)
    took = time.perf_counter() - begun
    print(
        f"| Start {what}: events replayed, of a log of | {recorder.recovered.events:,}, {recorder.store.last_seq():,} |"
    )
    print(f"| Start {what} | {took:.2f} s |", flush=True)
    os.kill(os.getpid(), 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cards", type=int, default=1_000_000)
    parser.add_argument("--timed", type=int, default=2_000, help="transactions of the store that are timed")
    parser.add_argument("--memory-mb", type=int, default=2_048, help="for states")
    parser.add_argument("--folder", type=Path, help="where the database lies [default: a temporary folder]")
    arguments = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        settings = Settings(
            artifacts=fit(folder),
            database_url=f"sqlite:///{folder / 'counterfoil.db'}",
            state_memory_mb=arguments.memory_mb,
            future_tolerance_seconds=10**9,
        )
        print("| What | Measured |\n|---|--:|")
        work: list[tuple[Callable[..., None], tuple[Any, ...]]] = [
            (prepare, (folder, arguments.cards, settings.database_url)),
            (record, (settings, folder, arguments.timed)),
            (restart, (settings, "after a kill")),
        ]
        for function, given in work:
            process = spawn.Process(target=function, args=given)
            process.start()
            process.join()
        with create_engine(settings.database_url).begin() as connection:
            connection.exec_driver_sql("DELETE FROM states")
            connection.exec_driver_sql("UPDATE meta SET value = '0' WHERE name = 'watermark'")
        process = spawn.Process(target=restart, args=(settings, "from the base alone"))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
