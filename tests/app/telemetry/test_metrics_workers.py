"""Several workers count together: what one of them answers on /metrics is the sum of all, also of those that died."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import urllib.request
from contextlib import closing

import redis

from tests import servers
from tests.app.records import changed, sent
from tests.app.telemetry.test_metrics import Values, of, values
from tests.app.test_workers import serving, workers
from tests.app.traffic import Payments
from tests.waiting import FAR


def scraped(port: int) -> Values:
    """The page as whichever worker takes the connection shows it."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=FAR) as answer:
        return values(answer.read().decode())


def post(port: int, body: bytes) -> bool:
    """Over a connection of its own; whether it was answered."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=FAR)) as connection:
        try:
            connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
            return connection.getresponse().status == 200
        except (ConnectionError, http.client.HTTPException):
            return False


def test_every_page_has_the_total_also_after_a_worker_died(payments: Payments) -> None:
    address = servers.redis().removesuffix("/0") + "/10"  # nobody else's
    body, name = sent(payments, 1)[0], secrets.token_hex(4)
    rows = [changed(body, transaction_id=f"{name}-{i}", card_id=f"{name}-{i}") for i in range(40)]
    try:
        with serving(payments, address) as (port, process):
            assert all(post(port, row) for row in rows[:20])
            first = [scraped(port) for _ in range(6)]  # by either worker
            assert {of(page, "transactions_total", outcome="recorded") for page in first} == {20}
            assert {of(page, "requests_total", route="/v1/score", status="200") for page in first} == {20}
            assert {of(page, "score_count") for page in first} == {20}
            assert {of(page, "request_duration_seconds_bucket", route="/v1/score", le="+Inf") for page in first} == {20}
            os.kill(workers(process.pid)[0], signal.SIGKILL)
            assert all(post(port, row) or post(port, row) for row in rows[20:])
            after = [scraped(port) for _ in range(4)]
            assert {of(page, "transactions_total", outcome="recorded") for page in after} == {40}
            assert all(page["process_resident_memory_bytes", frozenset()] > 0 for page in after)
    finally:
        with redis.Redis.from_url(address) as client:
            for key in client.scan_iter("counterfoil:*"):
                client.delete(key)
