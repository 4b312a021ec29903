"""Workers killed at random moments: each message is in the log once, and what can never be scored is put aside.

python -m pytest tests/app/consume/test_kills.py                            # 2 kills a broker
python -m pytest -p tests.long --long -s tests/app/consume/test_kills.py    # 50 kills, 100,000 messages; ten minutes
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from app.store.open import open_store
from app.store.records import Decision
from tests.app.consume.sources import source, worker
from tests.app.traffic import Payments, Server, bodies
from tests.waiting import until

#: Of the long form.
MESSAGES = 100_000
#: Messages that can never be scored, and why.
POISON = {
    b"{": "invalid-json",
    b'{"a":1},{"b":2}': "invalid-json",
    b'"text"': "invalid-transaction",
    b'{"card_id":"4111111111111111"}': "invalid-transaction",
    b"[" * 100 + b"]" * 100: "invalid-transaction",
}


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long forms are asked for."""
    return bool(request.config.getoption("--long", default=False))


@pytest.fixture(scope="module")
def sent(long: bool, payments: Payments) -> Payments:
    """What is sent; in the long form again and again, under other ids.

    Its days are moved together there: partitions are read apart, and what is three days late is refused.
    """
    if not long:
        return Payments(payments.artifacts, payments.scorer, payments.frame.head(400))
    frame = payments.frame
    copies = [frame.with_columns(transaction_id=pl.col("transaction_id") + f"-{copy}") for copy in range(50)]
    first = pl.col("timestamp").min()
    since = (pl.col("timestamp") - first).dt.total_milliseconds() // 25
    together = pl.concat(copies).sort("timestamp").with_columns(timestamp=first + pl.duration(milliseconds=since))
    assert together.height > MESSAGES
    return Payments(payments.artifacts, payments.scorer, together.head(MESSAGES))


@pytest.fixture(scope="module")
def server(sent: Payments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service, for both brokers."""
    server = Server(sent.artifacts, tmp_path_factory.mktemp("consumed") / "counterfoil.db")
    server.start()
    yield server
    server.end(signal.SIGTERM)


@pytest.mark.parametrize("kind", ["kafka", "redis"])
def test_each_message_is_logged_once(kind: str, long: bool, sent: Payments, server: Server, tmp_path: Path) -> None:
    kills, random = 50 if long else 2, np.random.default_rng(5)
    frame = sent.frame if long else sent.frame[:200] if kind == "kafka" else sent.frame[200:]
    if long:  # not what was sent through the other broker
        frame = frame.with_columns(transaction_id=f"{kind}-" + pl.col("transaction_id"))
    messages = bodies(frame, sent.schema)
    batch = 500 if long else 50
    begun, log = time.monotonic(), open_store(server.url, read_only=True)
    logged = [begin := log.last_seq()]
    with source(kind, tmp_path) as where:
        where.send([*messages[:100], *POISON, *messages[100:]])
        for _ in range(kills):
            one = worker(where, server.port, batch=batch)
            aim = logged[-1] + int(random.integers(1, 2_500 if long else 60))
            until(lambda: log.last_seq() >= aim, "a worker that works")  # noqa: B023 - called at once
            one.end(signal.SIGKILL)
            logged.append(log.last_seq())
        last = worker(where, server.port, batch=batch, once=True).end()
        results = where.results(1 if long else len(messages))  # Kafka's mock brokers forget the oldest
        dead = where.dead_letters(len(POISON))
    entries = Counter(event.transaction_id for event in log.log(begin) if isinstance(event, Decision))
    log.close()
    print(
        f"\n{kind}: {len(messages):,} messages, {kills} kills of the worker, the last after {logged[-1] - begin:,} "
        f"entries; {sum(entries.values()):,} log entries of {len(entries):,} transactions; "
        f"{time.monotonic() - begun:.0f} s"
    )
    assert entries == Counter(frame["transaction_id"].to_list())
    assert {json.loads(one)["transaction_id"] for one in results} <= entries.keys()
    found = {one.value: one.why["kind"] for one in dead}
    card = next(value for value in POISON if b"4111" in value)
    assert found == {None if value == card else value: reason for value, reason in POISON.items()}
    assert "41111111" not in last + str(dead)
