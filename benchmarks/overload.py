"""The service under more load than it can carry: what it still answers, how fast, and how soon it has recovered.

    python benchmarks/overload.py                              # two minutes; trains a small model first
    python benchmarks/overload.py --seconds 2 --times 2        # a tiny run
    python benchmarks/overload.py --beside                     # 20 s, with CSV uploads and reads of the log meanwhile

First the peak: 16 connections, each sending its next transaction when the last one is answered. Then an open loop:
transactions are sent at ``--times`` the peak whatever becomes of those before, for ``--seconds``; at last at half of
the peak, until a second passes in which none is refused and no answer takes longer than 250 ms. The server is tied to
one core, as in benchmarks/serving.py, and the load comes from this process, on the others: times run from the moment
that a request is written until this process has its answer. How late it is itself is printed beside them, as the time
by which it oversleeps. Uploads and reads come from a process of their own, of low priority. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import gc
import io
import itertools
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
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
#: Rows of an upload; requests of the others may take so many seconds.
_ROWS, _PATIENCE = 20_000, 120.0


@dataclass
class Seen:
    """What became of requests: (when it was written, seconds until its answer) of each.

    Attributes:
        late: seconds by which one was sent late, at most; ``overslept``: by which the sender woke up late, each time.
    """

    answered: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    sent: int = 0
    late: float = 0.0
    overslept: list[float] = field(default_factory=list)


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
        slept = time.perf_counter()
        await asyncio.sleep(_TICK)
        seen.overslept.append(time.perf_counter() - slept - _TICK)
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


async def others(port: int, body: bytes, stop: Event) -> dict[str, int | float]:
    """CSV uploads and reads of the log, one after the other, until told to stop: what came of them."""
    told: dict[str, int | float] = {"uploads": 0, "refused": 0, "pages": 0, "slowest_page": 0.0}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=_PATIENCE) as client:

        async def uploads() -> None:
            while not stop.is_set():
                answer = await client.post("/v1/score/csv", content=body, headers={"Content-Type": "text/csv"})
                told["uploads"] += answer.status_code == 200
                if answer.status_code == 503:
                    told["refused"] += 1
                    await asyncio.sleep(1)

        async def pages() -> None:
            while not stop.is_set():
                begun = time.perf_counter()
                told["pages"] += (await client.get("/v1/decisions?limit=1000")).status_code == 200
                told["slowest_page"] = max(told["slowest_page"], round(time.perf_counter() - begun, 3))

        tasks = [asyncio.create_task(uploads()), asyncio.create_task(pages())]
        while not stop.is_set():
            await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, httpx.HTTPError):
                await task
    return told


def work_beside(port: int, body: bytes, begin: Event, stop: Event, told: Queue[dict[str, int | float]]) -> None:
    """The process of the others."""
    os.nice(10)
    begin.wait()
    told.put(asyncio.run(others(port, body, stop)))


async def measure(server: Server, make: Transactions, arguments: argparse.Namespace) -> None:
    """All of it, printed."""
    context = multiprocessing.get_context("spawn")
    begin, stop, told = context.Event(), context.Event(), context.Queue()
    if arguments.beside:
        given = (server.port, table(make, _ROWS), begin, stop, told)
        context.Process(target=work_beside, args=given, daemon=True).start()
    peak_load = Load("peak", make)
    for _ in range(3):
        await drive(server, peak_load, arguments.peak_seconds)
    peak = statistics.median(peak_load.rates)
    print(f"peak, {CONNECTIONS} connections: {peak:,.0f} a second, p99 {_p99(peak_load.latencies):.0f} ms", flush=True)
    begin.set()
    used = server.processor_time()
    seen = await open_loop(server, make, peak * arguments.times, arguments.seconds)
    used = server.processor_time() - used
    stop.set()
    lost = seen.sent - len(seen.answered) - len(seen.refused)
    rate, refusals = len(seen.answered) / arguments.seconds, [took for _, took in seen.refused]
    print(f"open loop at {arguments.times:g} x peak for {arguments.seconds:g} s: {seen.sent:,} sent, {lost:,} lost")
    overslept = [(0.0, late) for late in seen.overslept]
    woken = f"{_p(overslept, 50):.1f} ms, p99 {_p(overslept, 99):.1f} ms"
    print(f"  the sender   late by {seen.late * 1e3:.0f} ms at most, woken late by {woken}")
    print(f"  goodput      {rate:,.0f} a second, {rate / peak:.0%} of peak")
    print(f"  admitted     p50 {_p(seen.answered, 50):.0f} ms, p99 {_p(seen.answered, 99):.0f} ms")
    if refusals:
        begun = min(sent for sent, _ in seen.answered + seen.refused)
        later = [one for one in seen.refused if one[0] > begun + 1]
        print(f"  refusals     p50 {_p(seen.refused, 50):.1f} ms, p99 {_p(seen.refused, 99):.1f} ms;", end=" ")
        print(f"after the first second {_p(later, 50):.1f} and {_p(later, 99):.1f} ms")
        each = statistics.median(peak_load.processor)
        spent = max(used - each * len(seen.answered), 0.0) / len(refusals)
        print(
            f"  processor    {used / arguments.seconds:.0%} of a core; {each * 1e6:.0f} µs an answer at the peak, so at"
        )
        print(f"               most {spent * 1e6:.0f} µs a refusal")
    if arguments.beside:
        print(f"  beside       {await asyncio.to_thread(told.get)}")
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
    parser.add_argument("--seconds", type=float, help="of the open loop: 60, with --beside 20")
    parser.add_argument("--peak-seconds", type=float, default=5.0, help="of each of three rounds")
    parser.add_argument("--times", type=float, default=3.0, help="the peak")
    parser.add_argument("--reasons", type=int, default=0)
    parser.add_argument("--beside", action="store_true", help="CSV uploads and reads meanwhile")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (20.0 if arguments.beside else 60.0)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        artifacts = arguments.artifacts or fit_small(folder, behaviour=True)
        scorer = Scorer.load(Registry(artifacts).resolve(None))
        server = start(stack, artifacts, folder / "overload.db")
        gc.disable()  # it would be late whenever it looked through all that it has noted
        if others_cores := os.sched_getaffinity(0) - os.sched_getaffinity(server.pid):
            os.sched_setaffinity(0, others_cores)
        make = Transactions(scorer, f"/v1/score?reasons={arguments.reasons}", itertools.count())
        uvloop.run(measure(server, make, arguments))


if __name__ == "__main__":
    main()
