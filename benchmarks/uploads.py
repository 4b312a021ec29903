"""CSV uploads beside ``counterfoil score`` of the same file, and how long payments wait meanwhile.

    python benchmarks/uploads.py                                     # two minutes; trains a small model first
    python benchmarks/uploads.py --rows 10000 --rounds 1 --seconds 2   # a tiny run

The table of batch.py is scored by ``counterfoil score`` and uploaded to ``counterfoil serve``, in turn; the first runs
from the start of its process to the closed file, the second from the first byte sent to the last one received. Then
payments arrive at a fixed rate, without and with uploads one after the other. Processor seconds say more than wall
seconds on a busy machine. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import numpy as np
from batch import table, timed
from serving import Server, Transactions, start
from shadow import window

from models.registry import Registry
from models.schema import load_schema
from models.scorer import Scorer
from training.fit import FitOptions
from training.read import read_history
from training.train import TrainingJob, train


def fit(folder: Path, rows: int) -> Registry:
    """The table as ``in.csv``, and a registry with a model of it."""
    frame = table(rows)
    frame.write_csv(folder / "in.csv")
    frame.head(20_000).write_csv(folder / "train.csv")
    registry, schema = Registry(folder / "artifacts"), load_schema("ulb")
    job = TrainingJob(schema, FitOptions(steps=50))
    registry.activate(train(job, read_history(schema, [folder / "train.csv"]), registry)[0].version)
    return registry


async def upload(server: Server, body: bytes) -> int:
    """Send a table and take all of the answer: its lines."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=600) as client:
        reply = await client.post("/v1/score/csv", content=body, headers={"Content-Type": "text/csv"})
        reply.raise_for_status()
        return reply.content.count(b"\n")


async def waits(server: Server, make: Transactions, body: bytes | None, arguments: argparse.Namespace) -> list[float]:
    """Seconds that payments waited, with uploads of a table meanwhile if there is one."""

    async def uploads() -> None:
        while body is not None:
            await upload(server, body)

    task = asyncio.create_task(uploads())
    found = await window(server.port, make, arguments.rate, arguments.seconds)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=285_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0, help="of payments, without and with uploads")
    parser.add_argument("--rate", type=float, default=50.0, help="payments a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        registry = fit(folder, arguments.rows)
        body = (folder / "in.csv").read_bytes()
        server = start(stack, registry.root, folder / "log.db")
        os.sched_setaffinity(server.pid, os.sched_getaffinity(0))
        score = [str(Path(sys.executable).parent / "counterfoil"), "score", str(folder / "in.csv")]
        score += ["--artifacts", str(registry.root), "--out", str(folder / "out.csv")]
        found: dict[str, list[tuple[float, float]]] = {"counterfoil score": [], "POST /v1/score/csv": []}
        for _ in range(arguments.rounds):
            run = timed(score)
            found["counterfoil score"].append((run.wall, run.processor))
            begun, used = time.perf_counter(), server.processor_time()
            if asyncio.run(upload(server, body)) != arguments.rows + 1:
                raise SystemExit("the answer is not whole")
            found["POST /v1/score/csv"].append((time.perf_counter() - begun, server.processor_time() - used))
        print("| | seconds | of the processor | rows/s |\n|---|---|---|---|")
        for what, runs in found.items():
            wall, processor = (statistics.median(part) for part in zip(*runs, strict=True))
            print(f"| {what} | {wall:.2f} | {processor:.2f} | {arguments.rows / wall:,.0f} |")
        make = Transactions(Scorer.load(registry.resolve(None)), "/v1/score", itertools.count())
        for what, table_ in (("alone", None), ("beside uploads", body)):
            taken = asyncio.run(waits(server, make, table_, arguments))
            p50, p99 = np.percentile(taken, [50, 99]) * 1e3
            print(f"{arguments.rate:g} payments/s {what}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")


if __name__ == "__main__":
    main()
