"""The service under more load than it can carry: what it still answers, how fast, and how soon it has recovered.

    python benchmarks/overload.py                              # two minutes; trains a small model first
    python benchmarks/overload.py --seconds 2 --times 2        # a tiny run
    python benchmarks/overload.py --beside                     # with CSV uploads and reads of the log meanwhile

First the peak: 16 connections, each sending its next transaction when the last one is answered. Then an open loop:
transactions are sent at ``--times`` the peak whatever becomes of those before, for ``--seconds``; at last at half of
the peak, until a second passes in which none is refused and no answer takes longer than 250 ms. The server is tied to
one core, as in benchmarks/serving.py, and the load comes from this process: times run from the moment that a request is
written. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import itertools
import json
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx
import numpy as np
import uvloop
from serving import CONNECTIONS, Load, Server, Transactions, drive, fit_small, start

from models.registry import Registry
from models.scorer import Scorer

#: Seconds until an answer counts as lost; the slowest that an answer may be, for recovery.
_LOST, _SLOW = 10.0, 0.25
_TICK = 0.002
#: Open before the first request; more are opened where all of them wait for an answer.
_CONNECTIONS = 1_000


@dataclass
class Seen:
    """What became of requests: (when it was written, seconds until its answer) of each."""

    answered: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    late: float = 0.0


class Wire(asyncio.Protocol):
    """A connection that sends what it is told to, one request at a time."""

    def __init__(self, seen: Seen, idle: deque[Wire]) -> None:
        self._seen, self._idle = seen, idle
        self._buffer, self._sent = b"", 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Note a whole answer."""
        self._buffer += data
        if not whole(self._buffer):
            return
        took = time.perf_counter() - self._sent
        if self._buffer.startswith(b"HTTP/1.1 200"):
            self._seen.answered.append((self._sent, took))
        elif self._buffer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in self._buffer.lower():
            self._seen.refused.append((self._sent, took))
        else:
            raise SystemExit(self._buffer.decode(errors="replace"))
        self._buffer = b""
        if not self.transport.is_closing():
            self._idle.append(self)


def whole(answer: bytes) -> bool:
    """Whether it is, by its length; the service says that in lower case."""
    head = answer.find(b"\r\n\r\n")
    mark = answer.find(b"\r\ncontent-length: ") + 18
    return head >= 0 and len(answer) >= head + 4 + int(answer[mark : answer.index(b"\r", mark)])


async def open_loop(
    server: Server, make: Callable[[], bytes], rate: float, seconds: float, *, until_well: bool = False
) -> Seen:
    """Send at a rate, whatever becomes of it.

    Args:
        until_well: end as soon as a second was well, see the module.
    """
    loop, seen, idle = asyncio.get_running_loop(), Seen(), deque[Wire]()
    ready = deque(make() for _ in range(int(rate * seconds) + 1))  # so that the sender has little to do
    for _ in range(_CONNECTIONS):
        await loop.create_connection(lambda: _added(Wire(seen, idle), idle), "127.0.0.1", server.port)
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        due = int(now * rate)
        seen.late = max(seen.late, (due - seen.sent) / rate)
        while seen.sent < due:
            while idle and idle[0].transport.is_closing():  # it said nothing for too long
                idle.popleft()
            if not idle:
                await loop.create_connection(lambda: _added(Wire(seen, idle), idle), "127.0.0.1", server.port)
                continue
            idle.popleft().send(ready.popleft())
            seen.sent += 1
        if until_well and now > 1 and _well(seen, begun + now):
            break
        await asyncio.sleep(_TICK)
    deadline = time.perf_counter() + _LOST
    while len(seen.answered) + len(seen.refused) < seen.sent and time.perf_counter() < deadline:
        await asyncio.sleep(0.05)
    for wire in idle:
        wire.transport.abort()
    return seen


def _added(wire: Wire, idle: deque[Wire]) -> Wire:
    idle.append(wire)
    return wire


def _well(seen: Seen, now: float) -> bool:
    """Whether the last second was well."""
    slow = any(took > _SLOW for sent, took in seen.answered[-2_000:] if sent > now - 1 - _SLOW)
    return not slow and not any(sent > now - 1 for sent, _ in seen.refused[-2_000:])


def table(make: Transactions, rows: int) -> bytes:
    """A CSV of so many transactions."""
    bodies = [json.loads(make().partition(b"\r\n\r\n")[2]) for _ in range(rows)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(bodies[0]))
    writer.writeheader()
    writer.writerows(bodies)
    return text.getvalue().encode()


async def beside(server: Server, make: Transactions, stop: asyncio.Event) -> dict[str, int]:
    """CSV uploads and reads of the log, one after the other, until told to stop; how many were answered."""
    body = table(make, 20_000)
    counts = {"csv": 0, "pages": 0}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=120) as client:

        async def uploads() -> None:
            while not stop.is_set():
                answer = await client.post("/v1/score/csv", content=body, headers={"Content-Type": "text/csv"})
                counts["csv"] += answer.status_code == 200
                if answer.status_code == 503:
                    await asyncio.sleep(1)

        async def pages() -> None:
            while not stop.is_set():
                counts["pages"] += (await client.get("/v1/decisions?limit=1000")).status_code == 200

        tasks = [asyncio.create_task(uploads()), asyncio.create_task(pages())]
        await stop.wait()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await task
    return counts


async def measure(server: Server, make: Transactions, arguments: argparse.Namespace) -> None:
    """All of it, printed."""
    peak_load = Load("peak", make)
    for _ in range(3):
        await drive(server, peak_load, arguments.peak_seconds)
    peak = statistics.median(peak_load.rates)
    print(f"peak, {CONNECTIONS} connections: {peak:,.0f} a second, p99 {_p99(peak_load.latencies):.0f} ms", flush=True)
    stop = asyncio.Event()
    others = asyncio.create_task(beside(server, make, stop)) if arguments.beside else None
    used = server.processor_time()
    seen = await open_loop(server, make, peak * arguments.times, arguments.seconds)
    used = server.processor_time() - used
    stop.set()
    lost = seen.sent - len(seen.answered) - len(seen.refused)
    rate, refusals = len(seen.answered) / arguments.seconds, [took for _, took in seen.refused]
    print(f"open loop at {arguments.times:g} x peak for {arguments.seconds:g} s: {seen.sent:,} sent, {lost:,} lost")
    print(f"  sent late by {seen.late * 1e3:.0f} ms at most")
    print(f"  goodput      {rate:,.0f} a second, {rate / peak:.0%} of peak")
    print(f"  admitted     p50 {_p(seen.answered, 50):.0f} ms, p99 {_p(seen.answered, 99):.0f} ms")
    if refusals:
        print(f"  refusals     p50 {_p(seen.refused, 50):.1f} ms, p99 {_p(seen.refused, 99):.1f} ms")
        each = statistics.median(peak_load.processor)
        spent = max(used - each * len(seen.answered), 0.0) / len(refusals)
        print(
            f"  processor    {used / arguments.seconds:.0%} of a core; {each * 1e6:.0f} µs an answer at the peak, so at"
        )
        print(f"               most {spent * 1e6:.0f} µs a refusal")
    if others is not None:
        print(f"  beside       {await others}")
    begun = time.perf_counter()
    await open_loop(server, make, peak / 2, 60, until_well=True)
    print(f"recovered after {time.perf_counter() - begun - 1:.1f} s at half of the peak", flush=True)


def _p(found: list[tuple[float, float]], share: float) -> float:
    return float(np.percentile([took for _, took in found] or [0.0], share)) * 1e3


def _p99(seconds: list[float]) -> float:
    return float(np.percentile(seconds, 99)) * 1e3


def main() -> None:
    """Serve, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, help="registry whose active model is served, not a small one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the open loop")
    parser.add_argument("--peak-seconds", type=float, default=5.0, help="of each of three rounds")
    parser.add_argument("--times", type=float, default=3.0, help="the peak")
    parser.add_argument("--reasons", type=int, default=0)
    parser.add_argument("--beside", action="store_true", help="CSV uploads and reads meanwhile")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        artifacts = arguments.artifacts or fit_small(folder, behaviour=True)
        scorer = Scorer.load(Registry(artifacts).resolve(None))
        server = start(stack, artifacts, folder / "overload.db")
        make = Transactions(scorer, f"/v1/score?reasons={arguments.reasons}", itertools.count())
        uvloop.run(measure(server, make, arguments))


if __name__ == "__main__":
    main()
