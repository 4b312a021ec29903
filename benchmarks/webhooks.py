"""Alerts that `counterfoil webhooks run` delivers a second to one receiver on this machine.

    python benchmarks/webhooks.py                   # trains a small model first; SQLite
    python benchmarks/webhooks.py --alerts 100      # a tiny run
    python benchmarks/webhooks.py --delay 0.05      # a receiver that takes 50 ms to answer

The alerts are in the log before it starts; the rate is from the first that arrives to the last. The receiver, in this
process, answers 204 and verifies nothing. Prints the sender's own processor time for each, too. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import cast

import uvloop
from alerts import add_arguments, filled, settings_of
from serving import ROOT, Server

from app.settings import Settings
from app.webhooks.cursors import Cursor, Cursors
from app.webhooks.endpoint_changes import add_endpoint

_NAME = "queue"
#: Seconds without an alert after which none is waited for.
_LOST = 60.0
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    """One connection: takes one alert, notes when it came, and answers."""

    def __init__(self, came: list[float], delay: float) -> None:
        self._came, self._delay, self._buffer = came, delay, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for it."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer once it is whole."""
        self._buffer += data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if len(body) >= int(lines.get(b"content-length", b"1")):
            self._came.append(time.perf_counter())
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, _ANSWER)


async def deliver(settings: Settings, alerts: int, delay: float) -> None:
    """Have them delivered, and say how fast they were."""
    came: list[float] = []
    server = await asyncio.get_running_loop().create_server(lambda: Receiver(came, delay), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    add_endpoint(
        settings.webhooks_file,
        _NAME,
        url,
        decisions=["review", "decline"],
        transaction=False,
        allow_http=True,
        allow_private=True,
    )
    files = {
        "COUNTERFOIL_WEBHOOKS_FILE": str(settings.webhooks_file),
        "COUNTERFOIL_WEBHOOKS_CURSORS": str(settings.webhooks_cursors),
    }
    command = [sys.executable, str(ROOT / "counterfoil.py"), "webhooks", "run"]
    command += ["--artifacts", str(settings.artifacts), "--database", settings.database_url]
    with ExitStack() as stack:
        quiet = subprocess.DEVNULL
        sender = stack.enter_context(subprocess.Popen(command, env=os.environ | files, stdout=quiet, stderr=quiet))
        stack.callback(sender.terminate)
        process, used = Server(sender.pid, 0), 0.0
        begun = time.perf_counter()
        while len(came) < alerts:
            if sender.poll() is not None or time.perf_counter() - (came[-1] if came else begun) > _LOST:
                raise SystemExit("the sender sends nothing")
            used = used or (process.processor_time() if came else 0.0)
            await asyncio.sleep(0.01)
        spent = process.processor_time() - used
    took = came[-1] - came[0]
    each = spent / alerts * 1e6
    print(f"{alerts:,} alerts in {took:.1f} s: {alerts / took:,.0f}/s, {each:,.0f} µs of processor time each")


def main() -> None:
    """Fill a log, then send from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, alerts=5_000)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds that the receiver takes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {"webhooks_file": folder / "webhooks.json", "webhooks_cursors": folder / "webhooks.db"}
        settings = settings_of(options, folder, **files)
        filled(settings, options.alerts).state.serving.close()
        with closing(Cursors(settings.webhooks_cursors, writes=True)) as cursors:
            cursors.save(_NAME, Cursor(0))
        uvloop.run(deliver(settings, options.alerts, options.delay))


if __name__ == "__main__":
    main()
