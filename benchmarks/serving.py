"""Requests per second of the service on one core, with and without behaviour features, beside a plain FastAPI route.

    python benchmarks/serving.py                              # two minutes; trains two small models first
    python benchmarks/serving.py --seconds 1 --rounds 1       # a tiny run
    python benchmarks/serving.py --artifacts artifacts        # with the active model of a registry

Each server is ``counterfoil serve`` as anybody runs it, tied to one core, its log in a file, every decision recorded
durably in a database of its own. No transaction is sent twice: a stored answer would be no score. The load comes from
this process: 16 connections, each sending its next transaction when the last one is answered. The routes take turns,
several rounds each, and the median round counts. CPU is the server's own time per request, which other work on the
machine disturbs less. Callers have an API key. One route gets alerts alone: the example with an absurd amount. At last
each is asked at half of its rate at fixed times, for the latency. Prints a Markdown table, what a start takes, and the
bytes that a decision takes in the database. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI

from app.access.key_changes import create_key
from app.requests.example import example_transaction
from models.registry import Registry
from models.schema import TransactionSchema
from models.scorer import Scorer

ROOT = Path(__file__).parents[1]
# Processes that are started keep their bytecode, as installed services do, whatever the shell says.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
CONNECTIONS = 16
CARDS = 5_000
#: An amount that nobody pays.
_ABSURD = 900_000.0


@dataclass(frozen=True)
class Load:
    """One kind of request and what came of it; ``request`` makes the next one."""

    name: str
    request: Callable[[], bytes]
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    alerts: list[bool] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """Sends one request after the other, and notes how long each answer took.

    Args:
        pace: seconds from one request to the next, the first one after ``offset``; 0 for at once. Behind time, the
            wait counts, too.
    """

    def __init__(self, load: Load, latencies: list[float], pace: float = 0.0, offset: float = 0.0) -> None:
        self.load, self.latencies = load, latencies
        self.pace, self.due = pace, time.perf_counter() + offset
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
        self.latencies.append(time.perf_counter() - self.due)
        self.load.alerts.append(b'"is_anomaly":true' in self.buffer)
        self.buffer = b""
        self.due += self.pace
        self._send()

    def _send(self) -> None:
        now = time.perf_counter()
        if self.pace and now < self.due:
            asyncio.get_running_loop().call_later(self.due - now, self._write)
            return
        if not self.pace:
            self.due = now
        self._write()

    def _write(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(self.load.request())


@dataclass(frozen=True)
class Server:
    """A server process and its port; ``ready``: seconds from its start to its first answer."""

    pid: int
    port: int
    ready: float = 0.0

    def memory(self) -> float:
        """MB that it has in memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def processor_time(self) -> float:
        """Seconds of processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def drive(server: Server, load: Load, seconds: float) -> None:
    """Load the server with one kind of request for a while, after a short warm-up."""
    latencies: list[float] = []
    connections = [await _connect(server, Connection(load, latencies)) for _ in range(CONNECTIONS)]
    await asyncio.sleep(min(0.5, seconds / 4))
    latencies.clear()
    begun, used = time.perf_counter(), server.processor_time()
    await asyncio.sleep(seconds)
    load.processor.append((server.processor_time() - used) / max(len(latencies), 1))
    load.rates.append(len(latencies) / (time.perf_counter() - begun))
    load.latencies.extend(latencies)
    for connection in connections:
        connection.abort()


async def drive_calmly(server: Server, load: Load, seconds: float) -> None:
    """Ask at half of the rate that it has reached, at fixed times, whether answers come or not."""
    pace = 2 * CONNECTIONS / max(statistics.median(load.rates), 1.0)
    connections = [
        await _connect(server, Connection(load, load.calm, pace, pace * i / CONNECTIONS)) for i in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    for connection in connections:
        connection.abort()


async def _connect(server: Server, connection: Connection) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: connection, "127.0.0.1", server.port)
    return transport


def serve_plain(listener: socket.socket) -> None:
    """The server process to compare with."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    app = FastAPI()

    @app.get("/")
    async def plain() -> dict[str, str]:
        return {"status": "alive"}

    config = uvicorn.Config(app, http="httptools", loop="uvloop", access_log=False, log_level="error")
    uvicorn.Server(config).run(sockets=[listener])


def start_plain(stack: ExitStack) -> Server:
    """Start it; it answers as soon as it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    process = multiprocessing.Process(target=serve_plain, args=(listener,), daemon=True)
    process.start()
    stack.callback(process.terminate)
    assert process.pid is not None
    return Server(process.pid, listener.getsockname()[1])


def start(stack: ExitStack, artifacts: Path, database: Path, keys: Path | None = None) -> Server:
    """Start the service, and wait until it is ready; ``keys``: file of API keys."""
    command = [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--port", "0"]
    command += ["--artifacts", str(artifacts), "--database", f"sqlite:///{database}"]
    log = stack.enter_context(database.with_suffix(".log").open("w"))
    more = {} if keys is None else {"COUNTERFOIL_KEYS_FILE": str(keys)}
    begun = time.perf_counter()
    process = stack.enter_context(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | more)
    )
    os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
    stack.callback(process.terminate)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("curl"):
            port = int(line.split("http://127.0.0.1:")[1].split("/")[0])
            with socket.create_connection(("127.0.0.1", port)) as probe:  # the system keeps it until it is answered
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                if not probe.recv(64).startswith(b"HTTP/1.1 200"):
                    raise SystemExit("the service answers, and is not ready")
            return Server(process.pid, port, time.perf_counter() - begun)
    raise SystemExit(database.with_suffix(".log").read_text())


def fit_small(folder: Path, *, behaviour: bool) -> Path:
    """A registry with a model of the payments profile: speed does not depend on how well it learned."""
    from models.schema import load_schema
    from models.thresholds import Policy
    from training.fit import FitOptions
    from training.read import read_history
    from training.simulate import SimulationConfig, simulate, write
    from training.train import TrainingJob, train

    history = folder / "history.parquet"
    if not history.exists():
        write(simulate(SimulationConfig(days=45, cards=400, merchants=200)), history)
    schema = load_schema("payments")
    if not behaviour:
        schema = schema.model_copy(update={"entity": {}}).checked()
    registry = Registry(folder / ("behaviour" if behaviour else "plain"))
    job = TrainingJob(schema, FitOptions(steps=100), Policy(name="alert-rate", value=0.005), label_delay="0d")
    manifest, _ = train(job, read_history(schema, [history]), registry)
    registry.activate(manifest.version)
    return registry.root


class Transactions:
    """Makes the requests: the example, each time with another id, a random card and merchant, a second later.

    Args:
        scorer: of the model; its schema says which columns those are.
        path: where they are posted.
        counter: of all that are sent to one database.
        begin: time of the first one; that of the example by default.
        cards: so many of them, and as many merchants.
        key: API key of the caller.
        odd: whether each is to be an alert.
    """

    def __init__(
        self,
        scorer: Scorer,
        path: str,
        counter: itertools.count[int],
        begin: datetime | None = None,
        cards: int = CARDS,
        key: str = "",
        *,
        odd: bool = False,
    ) -> None:
        # Alerts have cards and merchants of their own: after an absurd amount a usual one would be odd there.
        self._cards, self._kind = cards, "o" if odd else "c"
        schema: TransactionSchema = scorer.schema
        example: dict[str, Any] = example_transaction(schema, scorer.vocabulary, scorer.bundle.golden)
        if odd:
            example[schema.amount or schema.numeric[0]] = _ABSURD
        self.counter, self._random = counter, np.random.default_rng(0)
        self._changing = [name for name in (schema.id, *schema.entities) if name is not None]
        self._start = None
        time_column = schema.timestamp or ""
        if isinstance(example.get(time_column), str):
            self._start = begin or datetime.fromisoformat(example[time_column].rstrip("Z"))
            self._zone = "Z" if example[time_column].endswith("Z") else ""
            self._changing.append(time_column)
        body = json.dumps({**example, **dict.fromkeys(self._changing, "\0")}).replace("%", "%%")
        self._body = body.replace(json.dumps("\0"), '"%s"')
        self._order = [name for name in example if name in self._changing]
        self._id = schema.id
        allowed = f"Authorization: Bearer {key}\r\n" if key else ""
        self._head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{allowed}Content-Type: application/json\r\nContent-Length: "

    def __call__(self) -> bytes:
        """The next request."""
        number = next(self.counter)
        values = []
        for name in self._order:
            if name == self._id:
                values.append(f"{number:012d}")
            elif name in self._changing[:-1] or self._start is None:
                values.append(f"{self._kind}-{self._random.integers(self._cards):04d}")
            else:
                values.append((self._start + timedelta(seconds=number)).isoformat() + self._zone)
        body = self._body % tuple(values)
        return f"{self._head}{len(body)}\r\n\r\n{body}".encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--artifacts", type=Path, help="registry whose active model is served, instead of two small ones"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="per route and round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        registries = {"": arguments.artifacts} if arguments.artifacts else {
            ", no behaviour": fit_small(folder, behaviour=False),
            ", behaviour": fit_small(folder, behaviour=True),
        }  # fmt: skip
        loads = [(start_plain(stack), Load("FastAPI GET, constant dict", lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))]
        sent: dict[Path, itertools.count[int]] = {}
        keys = folder / "keys.json"
        _, key = create_key(keys, "benchmark", ["score"])
        for kind, artifacts in registries.items():
            scorer = Scorer.load(Registry(artifacts).resolve(None))
            database = folder / f"{len(sent)}.db"
            server, counter = start(stack, artifacts, database, keys), sent.setdefault(database, itertools.count())
            print(f"ready {server.ready:.2f} s after its start, {server.memory():.0f} MB{kind}")
            features = f"{len(scorer.schema.features)} features{kind}"
            for what, reasons in (("", 0), ("", 3), ("alerts alone, ", 3)):
                make = Transactions(scorer, f"/v1/score?reasons={reasons}", counter, key=key, odd=bool(what))
                loads.append((server, Load(f"POST /v1/score, {what}{reasons} reasons ({features})", make)))
        for _ in range(arguments.rounds):
            for target, load in loads:
                uvloop.run(drive(target, load, arguments.seconds))
        for target, load in loads:
            uvloop.run(drive_calmly(target, load, arguments.seconds))
        base = statistics.median(loads[0][1].rates)
        print(f"\none core, {CONNECTIONS} connections, every decision durable before its answer\n")
        print("| route | requests/s | of plain | p50 ms | p99 ms | p99 at half | CPU µs | of plain | alerts |")
        print("|---|---|---|---|---|---|---|---|---|")
        least = statistics.median(loads[0][1].processor) * 1e6
        for _, load in loads:
            rate = statistics.median(load.rates)
            cpu = statistics.median(load.processor) * 1e6
            p50, p99 = np.percentile(load.latencies, [50, 99]) * 1e3
            calm = np.percentile(load.calm or [math.nan], 99) * 1e3
            print(
                f"| {load.name} | {rate:,.0f} | {rate / base:.1%} | {p50:.2f} | {p99:.2f} | {calm:.2f} | {cpu:.0f} "
                f"| {least / cpu:.1%} | {np.mean(load.alerts):.1%} |"
            )
        for kind, server in dict(zip(registries, (target for target, _ in loads[1::3]), strict=True)).items():
            print(f"\n{server.memory():.0f} MB in memory at the end{kind}")
        for kind, (database, counter) in zip(registries, sent.items(), strict=True):
            rows = next(counter)
            files = sum(file.stat().st_size for file in folder.glob(database.name + "*"))
            print(f"\n{rows:,} decisions{kind}: {files / rows:,.0f} bytes each in the database, its log included")


if __name__ == "__main__":
    main()
