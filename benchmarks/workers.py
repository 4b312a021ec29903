"""What a second worker gives, on PostgreSQL and on Redis, and what it costs to share a store.

    PYTHONPATH=. python benchmarks/workers.py                           # five minutes; trains a small model first
    PYTHONPATH=. python benchmarks/workers.py --seconds 1 --rounds 1    # a tiny run

Each line is ``counterfoil serve`` on a database server of its own, every decision durable before its answer. "1 core"
ties everything to one core: the workers, the database server and this process, which sends the load. What a second
worker gives is the last column: requests per second on two cores against those on one. Lines take turns, several rounds
each, and the median round counts. CPU is processor time per request, of the workers and of the database server, which
other work on the machine disturbs less than the rate. (Linux; PostgreSQL and Redis must be installed.)
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import uvloop
from serving import CONNECTIONS, ROOT, Load, Server, Transactions, drive, fit_small

from models.registry import Registry
from models.scorer import Scorer
from tests import private_servers


@dataclass(frozen=True)
class Setup:
    """How it is served.

    Attributes:
        shared: by several processes, as far as one can tell from the URL.
    """

    store: str
    shared: bool
    workers: int
    cores: int

    @property
    def name(self) -> str:
        """In the table."""
        form = "" if self.store == "Redis" else ", shared" if self.shared else ", owned by one process"
        return f"{self.store}{form}"


SETUPS = [
    Setup("PostgreSQL", False, 1, 1),
    Setup("PostgreSQL", False, 1, 2),
    Setup("PostgreSQL", True, 1, 1),
    Setup("PostgreSQL", True, 1, 2),
    Setup("PostgreSQL", True, 2, 2),
    Setup("Redis", True, 1, 1),
    Setup("Redis", True, 1, 2),
    Setup("Redis", True, 2, 2),
]


class Family(Server):
    """A process with all that come from it."""

    def processor_time(self) -> float:
        """Seconds of processor time they have used, those that have ended included."""
        found, waiting = 0.0, [self.pid]
        while waiting:
            pid = waiting.pop()
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
            waiting += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return found


@dataclass(frozen=True)
class Line:
    """A line of the table: what runs, what is sent, and what came of it.

    Attributes:
        in_database: seconds of processor time per request that the database server took, by round.
    """

    setup: Setup
    service: Family
    database: Family
    make: Transactions
    load: Load
    in_database: list[float] = field(default_factory=list)


def tie(cores: int) -> None:
    """Tie this process, and what it starts, to so many cores."""
    os.sched_setaffinity(0, ALL[:cores])


def database(stack: ExitStack, store: str) -> tuple[str, Family]:
    """Start a database server; its URL and its processes."""
    before = set(_children())
    kind = private_servers.postgresql if store == "PostgreSQL" else private_servers.redis
    server = stack.enter_context(kind())
    (pid,) = set(_children()) - before
    return server.url, Family(pid, 0)


def service(stack: ExitStack, artifacts: Path, url: str, workers: int) -> Family:
    """Start the service, and wait until it is ready."""
    command = [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--port", "0", "--workers", str(workers)]
    command += ["--artifacts", str(artifacts), "--database", url]
    quiet = {**os.environ, "COUNTERFOIL_LOG_LEVEL": "error", "COUNTERFOIL_MAX_WAIT_MS": "60000"}
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=quiet))
    stack.callback(process.terminate)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("curl"):
            return Family(process.pid, int(line.split("http://127.0.0.1:")[1].split("/")[0]))
    raise SystemExit("the service did not start")


def _children() -> Sequence[int]:
    return [int(pid) for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="per line and round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        artifacts = fit_small(Path(name), behaviour=True)
        scorer = Scorer.load(Registry(artifacts).resolve(None))
        lines: list[Line] = []
        for setup in SETUPS:
            tie(setup.cores)
            url, server = database(stack, setup.store)
            url += "?shared=true" if setup.store == "PostgreSQL" and setup.shared else ""
            make = Transactions(scorer, "/v1/score?reasons=0", itertools.count())
            served = service(stack, artifacts, url, setup.workers)
            lines.append(Line(setup, served, server, make, Load(setup.name, make)))
        for _ in range(arguments.rounds):
            for line in lines:
                tie(line.setup.cores)
                used, sent = line.database.processor_time(), next(line.make.counter)
                uvloop.run(drive(line.service, line.load, arguments.seconds))
                sent = next(line.make.counter) - sent
                line.in_database.append((line.database.processor_time() - used) / sent)
        one = {line.setup.name: statistics.median(line.load.rates) for line in lines if line.setup.cores == 1}
        print(f"{CONNECTIONS} connections, no reasons, {len(scorer.schema.features)} features with behaviour\n")
        print("| store | workers | cores | requests/s | CPU µs, workers | CPU µs, database | against 1 core |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for line in lines:
            setup, rate = line.setup, statistics.median(line.load.rates)
            own, theirs = (statistics.median(some) * 1e6 for some in (line.load.processor, line.in_database))
            print(
                f"| {setup.name} | {setup.workers} | {setup.cores} | {rate:,.0f} | {own:.0f} | {theirs:.0f} | "
                f"{rate / one[setup.name]:.2f} × |"
            )


#: Cores that this process may use at its start.
ALL = sorted(os.sched_getaffinity(0))

if __name__ == "__main__":
    main()
