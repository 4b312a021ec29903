"""Nothing the service does holds the event loop for long."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Coroutine
from typing import Any

from app.service import create_app
from app.settings import Settings
from models.scorer import Scorer
from tests.app.calls import Exchange, exchange

#: Processor seconds. The aim is 50 ms. With these bodies, work done on the loop by mistake takes most of a second, and
#: on a slow processor more.
LIMIT = 0.6
TRIES = 5


async def longest_pause(work: Coroutine[Any, Any, Exchange]) -> tuple[float, Exchange]:
    """The longest time a task that always wants to run had to wait while the work was done.

    Counted is the processor time of this process, so that a machine with other work changes nothing; at most the time
    on the clock, as several threads use more than that.
    """
    pauses = [0.0]
    done = asyncio.Event()
    begun = asyncio.Event()

    async def tick() -> None:
        while not done.is_set():
            clock, used = time.perf_counter(), time.process_time()
            await asyncio.sleep(0.001)
            pauses.append(min(time.perf_counter() - clock, time.process_time() - used))
            begun.set()

    ticking = asyncio.create_task(tick())
    await begun.wait()
    result = await work
    done.set()
    await ticking
    return max(pauses), result


def assert_never_long(store: str, scorer: Scorer, path: str, body: bytes, kind: str) -> None:
    app = create_app(Settings(database_url=store), scorer)
    gc.collect()
    gc.freeze()  # as the server does once it has loaded everything
    pauses = []
    for _ in range(TRIES):
        parts = [body[start : start + 65_536] for start in range(0, len(body), 65_536)]
        work = exchange(app, path, parts, {"Content-Type": kind})
        pause, result = asyncio.run(longest_pause(work))
        assert result.status in (200, 422)
        pauses.append(pause)
        if pause < LIMIT:
            break
    gc.unfreeze()
    app.state.serving.close()
    assert min(pauses) < LIMIT, pauses


def test_a_maximal_batch(own_store: str, tiny_scorer: Scorer, transaction: dict[str, Any]) -> None:
    rows = [{**transaction, "transaction_id": f"{number}"} for number in range(1_000)]
    body = json.dumps({"transactions": rows}).encode()
    assert_never_long(own_store, tiny_scorer, "/v1/score/batch?reasons=20", body, "application/json")


def test_a_maximal_batch_of_nonsense(own_store: str, tiny_scorer: Scorer, transaction: dict[str, Any]) -> None:
    row = {**transaction, **{f"unknown{number}": number for number in range(40)}}
    body = json.dumps({"transactions": [row] * 1_000}).encode()[: (1 << 20) - 2]
    cut = body.rfind(b"}, ") + 1
    assert_never_long(own_store, tiny_scorer, "/v1/score/batch", body[:cut] + b"]}", "application/json")


def test_a_body_of_unknown_fields(own_store: str, tiny_scorer: Scorer) -> None:
    body = json.dumps({f"k{number}": 0 for number in range(80_000)}).encode()[: (1 << 20) - 1]
    body = body[: body.rfind(b",")] + b"}"
    assert_never_long(own_store, tiny_scorer, "/v1/score", body, "application/json")


def test_a_batch_of_far_too_many(own_store: str, tiny_scorer: Scorer) -> None:
    body = b'{"transactions": [' + b"{}," * 300_000 + b"{}]}"
    assert_never_long(own_store, tiny_scorer, "/v1/score/batch", body, "application/json")


def test_a_csv(own_store: str, tiny_scorer: Scorer, tiny_csv: Any) -> None:
    header, rest = tiny_csv.read_bytes().split(b"\n", 1)
    body = header + b"\n" + rest * (6_000_000 // len(rest))
    assert_never_long(own_store, tiny_scorer, "/v1/score/csv?reasons=1", body, "text/csv")


def test_a_csv_that_needs_the_slow_reader(own_store: str, tiny_scorer: Scorer, tiny_csv: Any) -> None:
    header, rest = tiny_csv.read_bytes().split(b"\n", 1)
    body = header + b"\n" + (rest + b"\n\n") * (6_000_000 // len(rest))
    assert_never_long(own_store, tiny_scorer, "/v1/score/csv", body, "text/csv")


def test_thousands_of_new_objects_are_not_all_walked_through(own_store: str, tiny_scorer: Scorer) -> None:
    """Thousands of connections come and go, each of some forty objects: walking through all of them takes long."""
    app = create_app(Settings(database_url=own_store), tiny_scorer)
    before = gc.get_threshold()

    async def running() -> int:
        async with app.router.lifespan_context(app):
            known: int = gc.get_stats()[2]["collections"]
            kept: list[list[int]] = [[] for _ in range(600_000)]
            assert kept
            now: int = gc.get_stats()[2]["collections"]
            return now - known

    try:
        assert asyncio.run(running()) == 0
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
