"""The console with 100,000 open alerts: how long a page takes the server, and whether two people ever get one alert.

python benchmarks/console.py                                              # the model that serves, SQLite
python benchmarks/console.py --alerts 2000 --claims 20                    # anywhere, in half a minute
python benchmarks/console.py --database postgresql://USER@HOST/NAME      # an empty database
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi import FastAPI

from app.console.door import COOKIE, new_session
from app.console.roles import Person
from app.console.users import create_user
from app.requests.example import example_transaction
from app.service import create_app, load_scorer
from app.settings import Settings
from app.store.contract import Store
from app.store.records import Decision, View, Writes
from app.store.sql import sessions
from models.behaviour.keys import key_digest
from models.scorer import Scorer

_AT_ONCE, _ANALYSTS, _PAGES = 2_000, 8, 100
_START = 1_767_225_600_000_000
_HERE = {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-origin"}


def main() -> None:
    """Fill a store, then look at it as people do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alerts", type=int, default=100_000)
    parser.add_argument("--claims", type=int, default=250, help=f"of each of {_ANALYSTS} analysts")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"))
    parser.add_argument("--database", help="URL of an empty store; default: SQLite in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(
            artifacts=options.artifacts,
            database_url=options.database or f"sqlite:///{folder / 'log.db'}",
            users_file=folder / "users.json",
            keys_file=folder / "keys.json",
        )
        scorer = load_scorer(settings)
        app = create_app(settings, scorer)
        recorder = app.state.serving.ledger.recorder
        began = time.perf_counter()
        asyncio.run(app.state.serving.ledger.run(lambda: fill(recorder.store, scorer, options.alerts)))
        print(f"{options.alerts:,} alerts recorded in {time.perf_counter() - began:.0f} s")
        cookies = [asyncio.run(signed_in(app, folder, f"analyst-{place}")) for place in range(_ANALYSTS)]
        asyncio.run(pages(app, cookies[0]))
        asyncio.run(claims(app, cookies, options.claims))
        app.state.serving.close()


def fill(store: Store, scorer: Scorer, alerts: int) -> None:
    """Alerts of as many cards, all open; the bodies are those of the model's example."""
    random = np.random.default_rng(0)
    example = example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)
    threshold = scorer.manifest.threshold.score
    text = "amount is 120 deviations above the mean of this card in the last hour"
    reply = json.dumps({"reasons": [{"text": text}], "approximate": False})
    entity = next(iter(scorer.schema.entity), "card")
    for start in range(0, alerts, _AT_ONCE):
        scores = threshold + random.random(min(_AT_ONCE, alerts - start)) * (1 - threshold)

        def write(view: View, start: int = start, scores: Any = scores) -> Writes:
            return Writes([made(view.next_seq + i, start + i, float(score)) for i, score in enumerate(scores)])

        def made(seq: int, number: int, score: float) -> Decision:
            card = f"card-{number}"
            body = json.dumps({**example, "card_id": card, "transaction_id": f"tx-{number}"})
            digest, moment = hashlib.sha256(card.encode()).digest(), _START + number * 1_000_000
            version, features = scorer.manifest.version, bytes(480)
            keys = ((entity, key_digest(card)),)
            of_score = (score, 2_400.0, threshold, "review", version, reply.encode())
            return Decision(seq, f"tx-{number}", digest, moment, moment, body, features, *of_score, None, 350, keys)

        store.transact([], [], _AT_ONCE, write)


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
