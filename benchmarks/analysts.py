"""How long payments wait with five analysts at work in the console, beside without: they take turns by windows.

    python benchmarks/analysts.py                            # seven minutes; trains a small model first
    python benchmarks/analysts.py --pause 2                  # six times as fast as people
    python benchmarks/analysts.py --pause .1 --seconds 1 --pairs 2   # a tiny run

`counterfoil serve`, tied to one core, answers payments that arrive at a fixed rate, as in shadow.py. A second process
is five analysts: each looks at the queue, takes the next alert, looks at it and at similar payments, and decides: an
alert a minute, as people do. In every second window it is stopped (SIGSTOP), and what it would have asked for then
comes at the beginning of the next. Which of the two comes first in a pair alternates. The interval is from resampling
pairs. (Linux)
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import httpx
from serving import Transactions, fit_small, start
from shadow import in_turn, show, window

from app.console.users import create_user
from models.registry import Registry
from models.scorer import Scorer

ANALYSTS = 5
_HEADERS = {"Sec-Fetch-Site": "same-origin"}


async def work(port: int, name: str, password: str, pause: float, done: Synchronized[int]) -> None:
    """One analyst, until the process ends; ``done`` counts the pages of all."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=_HEADERS, timeout=60) as client:

        async def ask(method: str, path: str, **form: str) -> httpx.Response:
            await asyncio.sleep(pause)
            reply = await client.request(method, path, data=form or None)
            if reply.status_code not in (200, 303):
                raise SystemExit(f"{method} {path}: {reply.status_code}")
            with done.get_lock():
                done.value += 1
            return reply

        await ask("POST", "/console/sign-in", name=name, password=password)
        for label in itertools.cycle(("fraud", "legitimate")):
            await ask("GET", "/console")
            where = (await ask("POST", "/console/next")).headers["location"]
            page = await ask("GET", where)
            if "/alerts/" not in where:
                continue  # nothing to take
            await ask("GET", page.text.split('hx-get="')[-1].split('"')[0])
            await ask("POST", where.partition("?")[0], action=label)


def office(port: int, passwords: dict[str, str], pause: float, done: Synchronized[int]) -> None:
    """All of them, in a process of their own."""

    async def everybody() -> None:
        await asyncio.gather(*(work(port, name, password, pause, done) for name, password in passwords.items()))

    asyncio.run(everybody())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=100, help="payments per second")
    parser.add_argument("--seconds", type=float, default=5.0, help="per window")
    parser.add_argument("--pairs", type=int, default=40, help="of windows")
    parser.add_argument("--pause", type=float, default=12.0, help="seconds before each request of an analyst")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        registry = Registry(fit_small(folder, behaviour=True))
        scorer = Scorer.load(registry.resolve(None))
        end = datetime.fromisoformat(scorer.manifest.training.calibration.end or "") + timedelta(days=1)
        request = Transactions(scorer, "/v1/score?reasons=1", itertools.count(), end.replace(tzinfo=None))
        os.environ |= {f"COUNTERFOIL_{what}_FILE": str(folder / f"{what}.json") for what in ("USERS", "KEYS", "RULES")}
        users = folder / "USERS.json"
        passwords = {f"analyst-{place}": create_user(users, f"analyst-{place}", "analyst") for place in range(ANALYSTS)}
        server = start(stack, registry.root, folder / "log.db")
        asyncio.run(window(server.port, request, arguments.rate, min(5, arguments.seconds)))
        done: Synchronized[int] = multiprocessing.Value("q", 0)
        analysts = multiprocessing.Process(
            target=office, args=(server.port, passwords, arguments.pause, done), daemon=True
        )
        analysts.start()
        stack.callback(analysts.kill)
        assert analysts.pid is not None
        while done.value < ANALYSTS and analysts.is_alive():  # hashing their passwords is not what is measured
            time.sleep(0.1)
        pairs = in_turn(analysts.pid, server.port, request, arguments)
        if not analysts.is_alive():
            raise SystemExit("the analysts have stopped working; what they were told is above")
        print(f"{arguments.rate:g} payments/s; {ANALYSTS} analysts asked for {done.value:,} pages\n")
        show(pairs)


if __name__ == "__main__":
    main()
