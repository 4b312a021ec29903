"""Requests per second of the service on one core, beside a plain FastAPI route in the same run.

    python benchmarks/serving.py                              # about a minute; fits a small model of 30 features first
    python benchmarks/serving.py --seconds 1 --rounds 1       # a tiny run
    python benchmarks/serving.py --artifacts artifacts        # with the active model of a registry

The server runs as a process of its own, tied to one core; the load comes from this process: 16 connections, each
sending its next request when the last one is answered. The routes take turns, several rounds each, and the median
round counts. CPU is the server's own time per request, which other work on the machine disturbs less. Prints a
Markdown table. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import uvicorn
import uvloop
from fastapi import FastAPI

from app.example import example_transaction
from app.service import create_app, load_scorer
from app.settings import Settings, load_settings

CONNECTIONS = 16


@dataclass(frozen=True)
class Load:
    """One kind of request and what came of it."""

    name: str
    request: bytes
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Sends one request again and again, and notes how long each answer took."""

    def __init__(self, request: bytes, latencies: list[float]) -> None:
        self.request = request
        self.latencies = latencies
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self.transport = cast(asyncio.Transport, transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and send the next request."""
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        mark = self.buffer.lower().index(b"content-length: ") + 16
        if len(self.buffer) < head + 4 + int(self.buffer[mark : self.buffer.index(b"\r", mark)]):
            return
        if not self.buffer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self.buffer.decode(errors="replace"))
        self.latencies.append(time.perf_counter() - self.sent)
        self.buffer = b""
        self._send()

    def _send(self) -> None:
        self.sent = time.perf_counter()
        self.transport.write(self.request)


async def drive(server: Server, load: Load, seconds: float) -> None:
    """Load the server with one kind of request for a while, after a short warm-up."""
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(load.request, latencies), "127.0.0.1", server.port))[0]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(min(0.5, seconds / 4))
    latencies.clear()
    begun, used = time.perf_counter(), server.processor_time()
    await asyncio.sleep(seconds)
    load.processor.append((server.processor_time() - used) / max(len(latencies), 1))
    load.rates.append(len(latencies) / (time.perf_counter() - begun))
    load.latencies.extend(latencies)
    for connection in connections:
        connection.abort()


def serve(settings: Settings | None, listener: socket.socket) -> None:
    """The server process: ours, or the plain one without settings."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    if settings:
        app = create_app(settings)
    else:
        app = FastAPI()

        @app.get("/")
        async def plain() -> dict[str, str]:
            return {"status": "alive"}

    config = uvicorn.Config(app, http="httptools", loop="uvloop", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


@dataclass(frozen=True)
class Server:
    """A server process and its port."""

    process: multiprocessing.Process
    port: int

    def processor_time(self) -> float:
        """Seconds of processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(settings: Settings | None) -> Server:
    """Start a server; it answers as soon as it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.Process(target=serve, args=(settings, listener), daemon=True)
    process.start()
    return Server(process, listener.getsockname()[1])


def fit_small(folder: Path) -> Path:
    """A registry with a model of 30 features, fitted on noise: speed does not depend on what it learned."""
    from models.registry import Registry
    from models.schema import load_schema
    from models.thresholds import Policy
    from training.fit import FitOptions
    from training.read import read_history
    from training.train import TrainingJob, train

    rows = 4_000
    random = np.random.default_rng(0)
    columns = {f"V{i}": random.normal(size=rows) for i in range(1, 29)}
    amount = random.lognormal(3, 1, rows).round(2)
    table = pl.DataFrame({"Time": np.arange(rows) * 10.0, **columns, "Amount": amount, "Class": np.zeros(rows, int)})
    table.write_csv(folder / "noise.csv")
    schema = load_schema("ulb")
    registry = Registry(folder / "artifacts")
    job = TrainingJob(schema, FitOptions(steps=50), Policy(name="alert-rate", value=0.05))
    manifest, _ = train(job, read_history(schema, [folder / "noise.csv"]), registry)
    registry.activate(manifest.version)
    return registry.root


def post(path: str, body: bytes) -> bytes:
    """A POST request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, help="registry whose active model is served")
    parser.add_argument("--seconds", type=float, default=3.0, help="per route and round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(artifacts=arguments.artifacts or fit_small(Path(folder)))
        scorer = load_scorer(settings)
        body = json.dumps(example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)).encode()
        plain, ours = start(None), start(settings)
        get = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
        loads = [
            (plain, Load("FastAPI GET, constant dict", get % b"/")),
            (ours, Load("POST /v1/score?reasons=0", post("/v1/score?reasons=0", body))),
            (ours, Load(f"POST /v1/score ({settings.default_reasons} reasons)", post("/v1/score", body))),
        ]
        for _ in range(arguments.rounds):
            for target, load in loads:
                uvloop.run(drive(target, load, arguments.seconds))
        plain.process.terminate()
        ours.process.terminate()
    base = statistics.median(loads[0][1].rates)
    print(f"{len(scorer.schema.features)} features, one core, {CONNECTIONS} connections\n")
    print("| route | requests/s | of plain | p50 ms | p99 ms | CPU µs |\n|---|---|---|---|---|---|")
    for _, load in loads:
        rate = statistics.median(load.rates)
        cpu = statistics.median(load.processor) * 1e6
        p50, p99 = np.percentile(load.latencies, [50, 99]) * 1e3
        print(f"| {load.name} | {rate:,.0f} | {rate / base:.0%} | {p50:.2f} | {p99:.2f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
