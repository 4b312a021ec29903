"""Memory of a service that is loaded at a steady rate and given another model version again and again.

    python benchmarks/soak.py                             # half an hour, 200 reloads; trains two small models first
    python benchmarks/soak.py --minutes .5 --reloads 3    # a tiny run

The service is ``counterfoil serve`` as anybody runs it, with behaviour features and a SQLite store. Two clients send
transactions of 500 cards at ``--rate`` a second, single ones and batches of 50 in turn, and notice every answer that is
no score. Meanwhile two versions take turns. Resident memory is read once a second. The first fifth warms up: states
of all cards, caches, the allocator. Then the median of the first tenth is compared with that of the last. The decision
log grows all the while, on disk. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import uvloop
from serving import Server, Transactions, fit_small, start

from models.registry import Registry
from models.schema import load_schema
from models.scorer import Scorer
from models.thresholds import Policy
from training.fit import FitOptions
from training.read import read_history
from training.train import TrainingJob, train

CARDS, BATCH, CLIENTS = 500, 50, 2
#: Shares of the time: what warms up, and what is compared at either end.
_WARM, _END = 0.2, 0.1


def two_versions(folder: Path) -> tuple[Registry, tuple[str, str]]:
    """A registry with two versions of the same schema."""
    registry = Registry(fit_small(folder, behaviour=True))
    (first,) = registry.versions()
    schema = load_schema("payments")
    job = TrainingJob(schema, FitOptions(steps=100), Policy(name="alert-rate", value=0.01), label_delay="0d", seed=1)
    second, _ = train(job, read_history(schema, [folder / "history.parquet"]), registry)
    return registry, (first, second.version)


def held(pid: int) -> tuple[float, int, int]:
    """Resident memory in MiB, open files and threads."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return int(status["VmRSS"].split()[0]) / 1_024, files, int(status["Threads"])


class Seen:
    """What came of it: transactions that were scored, answers that were no score, the memory by the second."""

    def __init__(self) -> None:
        self.scored, self.failed, self.reloads = 0, 0, 0
        self.memory: list[float] = []


async def load(client: httpx.AsyncClient, make: Transactions, rate: float, seen: Seen, stop: asyncio.Event) -> None:
    """Send singles for a second's worth, then a batch, at a rate, until told to stop."""
    begun, sent = time.monotonic(), 0
    while not stop.is_set():
        rows = BATCH if sent % (2 * BATCH) == BATCH else 1
        bodies = [make().partition(b"\r\n\r\n")[2] for _ in range(rows)]
        path, body = "/v1/score", bodies[0]
        if rows > 1:
            path, body = "/v1/score/batch", b'{"transactions":[%b]}' % b",".join(bodies)
        answer = await client.post(path, content=body, headers={"Content-Type": "application/json"})
        wrong = answer.status_code != 200 or b'"error"' in answer.content
        seen.failed += rows * wrong
        seen.scored += rows * (not wrong)
        sent += rows
        await asyncio.sleep(max(0.0, begun + sent / rate - time.monotonic()))


async def reload(
    client: httpx.AsyncClient,
    registry: Registry,
    versions: tuple[str, str],
    every: float,
    most: int,
    seen: Seen,
    stop: asyncio.Event,
) -> None:
    """Have the versions take turns, each once the one before serves."""
    begun = time.monotonic()
    for number in range(1, most + 1):
        await asyncio.sleep(max(0.0, begun + number * every - time.monotonic()))
        if stop.is_set():
            return
        version = versions[number % 2]
        registry.activate(version)
        while json.loads((await client.get("/readyz")).content).get("model_version") != version:
            await asyncio.sleep(0.1)
        seen.reloads += 1


async def soak(server: Server, registry: Registry, versions: tuple[str, str], arguments: argparse.Namespace) -> Seen:
    """All of it at once, for so many minutes."""
    seen, stop, seconds = Seen(), asyncio.Event(), arguments.minutes * 60
    make = Transactions(Scorer.load(registry.folder(versions[0])), "", itertools.count(), cards=CARDS)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as client:
        tasks = [asyncio.create_task(load(client, make, arguments.rate / CLIENTS, seen, stop)) for _ in range(CLIENTS)]
        every = seconds / (arguments.reloads + 1)
        tasks.append(asyncio.create_task(reload(client, registry, versions, every, arguments.reloads, seen, stop)))
        begun = time.monotonic()
        while (passed := time.monotonic() - begun) < seconds:
            memory, files, threads = held(server.pid)
            seen.memory.append(memory)
            if len(seen.memory) % max(round(seconds / 10), 1) == 0:
                print(
                    f"  {passed / 60:5.1f} min  {memory:6.1f} MiB  {files} files  {threads} threads  "
                    f"{seen.scored:,} scored  {seen.reloads} reloads",
                    flush=True,
                )
            await asyncio.sleep(1)
            for task in tasks:
                if task.done() and task.exception():
                    stop.set()
                    await task
        stop.set()
        await asyncio.gather(*tasks)
    return seen


def main() -> None:
    """Serve, load, reload, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200.0, help="transactions a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        registry, versions = two_versions(Path(name))
        server = start(stack, registry.root, Path(name) / "soak.db")
        seen = uvloop.run(soak(server, registry, versions, arguments))
    memory = seen.memory
    warm, end = memory[round(len(memory) * _WARM) :], max(round(len(memory) * _END), 1)
    first, last = statistics.median(warm[:end]), statistics.median(warm[-end:])
    print(
        f"{arguments.minutes:g} minutes, {seen.reloads} reloads, {seen.scored:,} transactions scored, {seen.failed} not"
    )
    print(f"resident memory after warm-up {first:.1f} MiB, at the end {last:.1f} MiB: {last / first - 1:+.1%}")
    print(f"highest {max(warm):.1f} MiB, lowest {min(warm):.1f} MiB")


if __name__ == "__main__":
    main()
