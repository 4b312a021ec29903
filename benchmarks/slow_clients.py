"""What 2,000 slow connections cost everyone else: latency of scoring beside them, and when each is let go.

    python benchmarks/slow_clients.py                                    # five minutes; trains a small model first
    python benchmarks/slow_clients.py --slow 50 --seconds 1 --rounds 1   # a tiny run
    python benchmarks/slow_clients.py --artifacts artifacts              # with the active model of a registry

The service is ``counterfoil serve`` as anybody runs it. Four clients score one transaction after the other, with a
pause before each, so that latency and not throughput is measured. Rounds without slow connections, with slow ones to
another server that does nothing, and with slow ones to the service take turns: the second row is what the slow
clients' own work costs on this machine. A process of its own opens the slow ones all at once, five kinds in equal
parts: silent; a head byte by byte; a head whose body never comes; a body byte by byte; an answer of a megabyte that
nobody reads. Each sends its next byte once a second. Prints latencies, those while they are opened apart, and, for each
kind, after how many seconds the last connection to the service was closed. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import resource
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import cast

import numpy as np
import uvloop
from serving import Transactions, fit_small, start

from models.registry import Registry
from models.scorer import Scorer

CLIENTS = 4
PAUSE = 0.01
KINDS = ("silent", "head byte by byte", "body never", "body byte by byte", "answer never read")
#: Seconds that opening them takes at most.
OPENING = 2.0
#: A connection that is open for longer counts as this; seconds.
LONGEST = 40.0
_HEAD = b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
_BEGIN = {
    "head byte by byte": _HEAD + b"X-A: ",
    "body never": _HEAD + b"Content-Length: 1000\r\n\r\n",
    "body byte by byte": _HEAD + b"Content-Length: 1000\r\n\r\n",
    "answer never read": b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n",
}
_DRIPS = ("head byte by byte", "body byte by byte")
_TCP_CLOSED = 7


class Slow(asyncio.Protocol):
    """One slow connection.

    Args:
        kind: of :data:`KINDS`.
        ended: told the seconds that it was open.
    """

    def __init__(self, kind: str, ended: Callable[[float], None]) -> None:
        self._kind, self._ended = kind, ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin as the kind begins."""
        self._transport, self._began = cast(asyncio.Transport, transport), time.monotonic()
        self._transport.write(_BEGIN.get(self._kind, b""))
        if self._kind == "answer never read":
            # uvloop begins to read after this, whatever it was told before.
            asyncio.get_running_loop().call_soon(self._transport.pause_reading)
            self._watch()
        elif self._kind in _DRIPS:
            self._drip()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._ended(time.monotonic() - self._began)

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"a")
            asyncio.get_running_loop().call_later(1, self._drip)

    def _watch(self) -> None:
        """Who does not read is not told that it was closed: the kernel knows."""
        sock = self._transport.get_extra_info("socket")
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSED:
            self._transport.abort()
        else:
            asyncio.get_running_loop().call_later(0.2, self._watch)


async def attack(port: int, count: int) -> dict[str, float]:
    """Open them all; returns for how long the last one of each kind was open."""
    loop = asyncio.get_running_loop()
    lasted: dict[str, list[float]] = {kind: [] for kind in KINDS}
    over = asyncio.Event()

    def ended(kind: str, seconds: float) -> None:
        lasted[kind].append(seconds)
        if sum(map(len, lasted.values())) == count:
            over.set()

    for kind in itertools.islice(itertools.cycle(KINDS), count):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.create_connection(partial(Slow, kind, partial(ended, kind)), sock=sock)
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), LONGEST)
    share = {kind: len(range(place, count, len(KINDS))) for place, kind in enumerate(KINDS)}
    return {kind: max(lasted[kind]) if len(lasted[kind]) == share[kind] else LONGEST for kind in KINDS}


class Idle(asyncio.Protocol):
    """A connection of the server that does nothing: closed after as long as the service takes, about."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait."""
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # who does not read sees it, too
        asyncio.get_running_loop().call_later(6, cast(asyncio.Transport, transport).abort)


def idle(listener: socket.socket, count: int) -> None:
    """The process of that server."""
    raise_files(count + 100)

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(Idle, sock=listener, backlog=2_048)
        await server.serve_forever()

    uvloop.run(serve())


def attacker(port: int, count: int, pipe: Pipe) -> None:
    """The process that opens them."""
    raise_files(count + 100)
    pipe.send(uvloop.run(attack(port, count)))


async def score(port: int, request: Callable[[], bytes], seconds: float) -> list[tuple[float, float]]:
    """When each request was sent, in seconds from the start, and how long its answer took, in milliseconds."""
    latencies: list[tuple[float, float]] = []
    started = time.perf_counter()
    end = time.monotonic() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            await asyncio.sleep(PAUSE)
            begun = time.perf_counter()
            writer.write(request())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(head.decode())
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
            latencies.append((begun - started, (time.perf_counter() - begun) * 1e3))
        writer.close()

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return latencies


def raise_files(wanted: int) -> None:
    """Let this process open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=Path, help="registry whose active model is served, instead of a small one")
    parser.add_argument("--slow", type=int, default=2_000, help="slow connections")
    parser.add_argument("--seconds", type=float, default=12.0, help="per round; the slow ones are opened at its start")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        artifacts = arguments.artifacts or fit_small(Path(name), behaviour=True)
        scorer = Scorer.load(Registry(artifacts).resolve(None))
        server = start(stack, artifacts, Path(name) / "0.db")
        request = Transactions(scorer, "/v1/score?reasons=0", itertools.count())
        uvloop.run(score(server.port, request, 2))
        listener = socket.create_server(("127.0.0.1", 0), backlog=2_048)
        other = multiprocessing.Process(target=idle, args=(listener, arguments.slow), daemon=True)
        other.start()
        stack.callback(other.terminate)
        alone = list[tuple[float, float]]()
        beside: dict[int, list[tuple[float, float]]] = {listener.getsockname()[1]: [], server.port: []}
        lasted: list[dict[str, float]] = []
        for _ in range(arguments.rounds):
            alone += uvloop.run(score(server.port, request, arguments.seconds))
            for port, found in beside.items():
                here, there = multiprocessing.Pipe()
                process = multiprocessing.Process(target=attacker, args=(port, arguments.slow, there))
                process.start()
                there.close()
                found.extend(uvloop.run(score(server.port, request, arguments.seconds)))
                lasted.append(here.recv())
                process.join()
        print("| | p50 ms | p99 ms | requests |\n|---|---|---|---|")
        rows = {"alone": alone}
        for found, where in zip(beside.values(), ("of another server", "of the service"), strict=True):
            rows[f"while {arguments.slow:,} slow connections {where} are opened"] = [
                one for one in found if one[0] < OPENING
            ]
            rows[f"while those {where} are open, and closed"] = [one for one in found if one[0] >= OPENING]
        for when, found in rows.items():
            p50, p99 = np.percentile([latency for _, latency in found], [50, 99])
            print(f"| {when} | {p50:.2f} | {p99:.2f} | {len(found):,} |")
        print()
        print("| kind | the last one was closed after, s |\n|---|---|")
        for kind in KINDS:
            print(f"| {kind} | {max(found[kind] for found in lasted[1::2]):.1f} |")


if __name__ == "__main__":
    main()
