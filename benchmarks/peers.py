"""Counterfoil beside other ways to serve such a model over HTTP, one transaction a request, in one run.

    python benchmarks/peers.py                                           # five minutes, and five for the environments
    python benchmarks/peers.py --peers fastapi --seconds 1 --rounds 1    # a tiny run

Each peer in benchmarks/peers/ has an environment of its own under .venv/peers/, made at its first run, and serves the
same small autoencoder in PyTorch (benchmarks/peers/network.py): no checks beyond its framework's own, no record, no
behaviour, no reasons. Counterfoil serves as anybody runs it: every field checked, every decision durable on disk before
its answer. All processes of a server are tied to one core; the load comes from the other.

Closed loop: wrk, 16 connections, several rounds in turn, the median counts. Open loop: at half of that rate, whatever
becomes of the requests before; waits count from the moment that a request is written. Start: from the command to the
first answer. Memory: of all its processes, shared pages divided among them, after the load. Prints Markdown. (Linux)
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
import uvloop
from overload import open_loop
from serving import CARDS, CONNECTIONS, ROOT, Server, fit_small

from app.requests.example import example_transaction
from models.registry import Registry
from models.scorer import Scorer

PEERS = Path(__file__).parent / "peers"
ENVIRONMENTS = ROOT / ".venv" / "peers"
#: Seconds until a server that does not answer has failed.
_PATIENCE = 120.0
#: Peer -> how it is called, and where its route is.
NAMES = {
    "fastapi": ("FastAPI + PyTorch", "/predict"),
    "litserve": ("LitServe", "/predict"),
    "bentoml": ("BentoML", "/predict"),
    "mlserver": ("MLServer", "/v2/models/fraud/infer"),
}


@dataclass
class Contender:
    """A server that takes part.

    Attributes:
        body: of a request; ``@@`` is where its number goes, ``##`` a card's.
        command: starts it, but for the port.
        numbers: of requests so far.
    """

    name: str
    path: str
    body: str
    command: Callable[[int], list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    rates: list[float] = field(default_factory=list)
    server: Server = field(init=False)
    start: float = field(init=False)

    def request(self) -> bytes:
        """The next request, as bytes."""
        body = self._filled(next(self.numbers)).encode()
        head = f"POST {self.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body

    def _filled(self, number: int) -> str:
        return self.body.replace("@@", f"{number:012d}").replace("##", f"{number * 7919 % CARDS:04d}")

    def begin(self, stack: ExitStack, folder: Path) -> None:
        """Start it, on one core, and wait for its first answer."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        log = folder / f"{len(list(folder.iterdir()))}.log"
        begun = time.perf_counter()
        process = subprocess.Popen(
            ["taskset", "-c", str(min(os.sched_getaffinity(0))), *self.command(port)],
            cwd=self.folder,
            env=os.environ | self.environment,
            stdout=stack.enter_context(log.open("wb")),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_end, process)
        self.server = Server(process.pid, port)
        body = self._filled(next(self.numbers)).encode()
        call = urllib.request.Request(f"http://127.0.0.1:{port}{self.path}", body, {"Content-Type": "application/json"})
        while True:
            try:
                with urllib.request.urlopen(call, timeout=10) as answer:
                    assert b"reconstruction_error" in answer.read()
            except OSError as error:
                if process.poll() is not None or time.perf_counter() - begun > _PATIENCE:
                    raise SystemExit(f"{self.name} does not answer ({error}):\n{log.read_text()}") from None
                time.sleep(0.01)
            else:
                self.start = time.perf_counter() - begun
                return

    def load(self, seconds: float, folder: Path) -> None:
        """Its rate in a closed loop."""
        template = folder / "body.json"
        template.write_text(self.body)
        last = max(os.sched_getaffinity(0))
        number = next(self.numbers)
        run = subprocess.run(
            ["taskset", "-c", str(last), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:g}s", "--timeout", "10s",
             "-s", str(PEERS / "post.lua"), f"http://127.0.0.1:{self.server.port}{self.path}", "--", str(template),
             str(number)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        result = next(line for line in run.stdout.splitlines() if line.startswith("RESULT")).split()
        done, took, failed = int(result[1]), int(result[2]) / 1e6, int(result[5])
        if failed:
            raise SystemExit(f"{self.name}: {failed} of {done} requests failed\n{run.stdout}")
        self.numbers = itertools.count(number + done + 2 * CONNECTIONS)
        self.rates.append(done / took)

    def memory(self) -> float:
        """MiB of all its processes."""
        return sum(_memory(pid) for pid in _family(self.server.pid)) / 1024


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


def _memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


def environment(peer: str) -> Path:
    """The Python of a peer's environment, made where it is not there."""
    folder, wanted = ENVIRONMENTS / peer, PEERS / peer / "requirements.txt"
    stamp = folder / "done"
    if not stamp.exists() or stamp.read_text() != wanted.read_text():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {peer} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", wanted]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stamp.write_text(wanted.read_text())
    return folder / "bin" / "python"


def peer(name: str) -> Contender:
    """One of :data:`NAMES`."""
    values = {"id": "@@", "card": "c-##", "amount": 12.5, "latitude": 1.0, "longitude": 2.0, "hour": 12, "day": 3}
    body = values
    if name == "mlserver":
        body = {"inputs": [
            {"name": key, "shape": [1, 1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
            for key, value in values.items()
        ]}  # type: ignore[dict-item] # fmt: skip
    elif name == "bentoml":
        body = {"transaction": values}  # type: ignore[dict-item]
    python = environment(name)
    installed = [python, "-c", f"import importlib.metadata as m; print(m.version({name!r}))"]
    which = subprocess.run(installed, check=True, capture_output=True, text=True).stdout.strip()
    title, path = NAMES[name]
    return Contender(
        f"{title} ({name} {which})" if name != "fastapi" else f"{title} (fastapi {which})",
        path,
        json.dumps(body),
        lambda port: [str(python), "server.py", str(port)],
        {"PYTHONPATH": str(PEERS), "OMP_NUM_THREADS": "1"},
        PEERS / name,
    )


def own(folder: Path, reasons: int, *, behaviour: bool) -> Contender:
    """Counterfoil itself, with a log of its own."""
    artifacts = fit_small(folder, behaviour=behaviour)
    scorer = Scorer.load(Registry(artifacts).resolve(None))
    schema = scorer.schema
    example = example_transaction(schema, scorer.vocabulary, scorer.bundle.golden)
    example[schema.id or ""] = "@@"
    example |= dict.fromkeys(schema.entities, "c-##")
    what = f"{len(schema.features)} features{' with behaviour' if behaviour else ''}, {reasons} reasons"
    database = folder / f"{behaviour}{reasons}.db"
    serve = [
        str(ROOT / "counterfoil.py"),
        "serve",
        "--artifacts",
        str(artifacts),
        "--database",
        f"sqlite:///{database}",
    ]
    return Contender(
        f"Counterfoil: {what}",
        f"/v1/score?reasons={reasons}",
        json.dumps(example),
        lambda port: [sys.executable, *serve, "--port", str(port)],
    )


def main() -> None:
    """Install, start, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="*", choices=NAMES, default=list(NAMES))
    parser.add_argument("--seconds", type=float, default=5.0, help="per server and round, and of the open loop")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("this needs wrk: install Debian's package wrk")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        contenders = [own(folder, reasons, behaviour=behaviour) for behaviour in (False, True) for reasons in (0, 3)]
        contenders += [peer(one) for one in arguments.peers]
        for one in contenders:
            one.begin(stack, folder)
        for _ in range(arguments.rounds):
            for one in contenders:
                one.load(arguments.seconds, folder)
        print(f"Python {platform.python_version()}, torch {version('torch')}, {CONNECTIONS} connections, one core\n")
        print("| service | requests/s | p50 ms at half | p99 ms at half | start s | MiB |\n|---|---|---|---|---|---|")
        for one in contenders:
            rate = statistics.median(one.rates)
            seen = uvloop.run(open_loop(one.server, one.request, rate / 2, arguments.seconds))
            p50, p99 = np.percentile([took for _, took in seen.answered], [50, 99]) * 1e3
            print(
                f"| {one.name} | {rate:,.0f} | {p50:.1f} | {p99:.1f} | {one.start:.1f} | {one.memory():.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
