"""The console with 100,000 open alerts: how long a page takes the server, and whether two people ever get one alert.

python benchmarks/console.py                                           # trains a small model first; SQLite
python benchmarks/console.py --alerts 500 --claims 10                  # a tiny run
python benchmarks/console.py --database postgresql://USER@HOST/NAME    # an empty database
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
from alerts import add_arguments, filled, settings_of
from fastapi import FastAPI

from app.console.door import COOKIE, new_session
from app.console.roles import Person
from app.console.users import create_user
from app.store.sql import sessions

_ANALYSTS, _PAGES = 8, 100
_HERE = {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-origin"}


def main() -> None:
    """Fill a store, then look at it as people do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, alerts=100_000)
    parser.add_argument("--claims", type=int, default=250, help=f"of each of {_ANALYSTS} analysts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"{name}_file": folder / f"{name}.json" for name in ("users", "keys")}
        settings = settings_of(options, folder, **files)
        began = time.perf_counter()
        app = filled(settings, options.alerts)
        print(f"{options.alerts:,} alerts recorded in {time.perf_counter() - began:.0f} s")
        cookies = [asyncio.run(signed_in(app, folder, f"analyst-{place}")) for place in range(_ANALYSTS)]
        asyncio.run(pages(app, cookies[0]))
        asyncio.run(claims(app, cookies, options.claims))
        app.state.serving.close()


async def signed_in(app: FastAPI, folder: Path, name: str) -> dict[str, str]:
    """Headers of somebody who is."""
    create_user(folder / "users.json", name, "analyst")
    signed, now, end = new_session(Person(name, "analyst"))
    ledger = app.state.serving.ledger
    desk = ledger.recorder.store.desk()
    await ledger.run(
        lambda: desk.write(lambda connection: sessions.begin(connection, signed.person.session, name, now, end))
    )
    return {**_HERE, "Cookie": f"{COOKIE}={signed.token}"}


def client_of(app: FastAPI, headers: dict[str, str]) -> httpx.AsyncClient:
    """Straight to the application: the server's time alone."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers=headers)


async def pages(app: FastAPI, headers: dict[str, str]) -> None:
    """The first page, the last one, and pages from anywhere; each is 50 rows."""
    random = np.random.default_rng(1)
    threshold = app.state.serving.generation.scorer.manifest.threshold.score
    anywhere = [f"?after={threshold + random.random() * (1 - threshold)!r}-1" for _ in range(_PAGES)]
    async with client_of(app, headers) as client:
        for name, queries in (
            ("first", [""] * _PAGES),
            ("last", ["?last=1"] * _PAGES),
            ("anywhere", anywhere),
            ("free", ["?holder=free"] * _PAGES),
            ("older than the target, last", ["?late=1&last=1"] * _PAGES),
        ):
            times, worked = [], time.process_time()
            for query in queries:
                began = time.perf_counter()
                reply = await client.get(f"/console{query}")
                times.append(1_000 * (time.perf_counter() - began))
                assert reply.status_code == 200, reply.text
            p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[18]
            worked = 1_000 * (time.process_time() - worked) / len(queries)
            print(f"page {name:<28} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   processor {worked:6.1f} ms")


async def claims(app: FastAPI, cookies: list[dict[str, str]], count: int) -> None:
    """Everybody takes alerts and passes them on, all at once."""

    async def work(headers: dict[str, str]) -> list[str]:
        taken: list[str] = []
        async with client_of(app, headers) as client:
            reply = await client.post("/console/next")
            for _ in range(count):
                where = reply.headers["location"].partition("?")[0]
                taken.append(where)
                began = time.perf_counter()
                reply = await client.post(where, data={"action": "escalate"})
                times.append(1_000 * (time.perf_counter() - began))
                assert reply.status_code == 303, reply.text
        return taken

    times: list[float] = []
    taken = Counter(one for part in await asyncio.gather(*map(work, cookies)) for one in part)
    p95 = statistics.quantiles(times, n=20)[18]
    print(f"{len(cookies)} analysts took {taken.total():,} alerts, {sum(n - 1 for n in taken.values())} of them twice;")
    print(f"to decide one and be given the next: p50 {statistics.median(times):.1f} ms, p95 {p95:.1f} ms")


if __name__ == "__main__":
    main()
