"""Several processes serve from one Redis, and refuse to from a store that belongs to one."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import redis

from app.store.redis import RedisStore
from tests import servers
from tests.app.records import changed, sent
from tests.app.test_server import announced
from tests.app.traffic import Payments

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(payments: Payments, url: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Two processes that answer on one port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")}
    command = [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--workers", "2", "--port", "0"]
    command += ["--artifacts", str(payments.artifacts), "--database", url]
    process = subprocess.Popen(
        command, env=kept | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        found = announced(process)
        assert found, process.communicate()[1]
        yield found[0], process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def post(port: int, body: bytes) -> dict[str, Any]:
    """Over a connection of its own, so that either process may get it."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/score", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        reply: dict[str, Any] = json.load(answer)
        return reply


def test_both_count_the_same_card(payments: Payments) -> None:
    address = servers.redis().removesuffix("/0") + "/9"  # nobody else's
    card = f"card-{secrets.token_hex(4)}"
    body = changed(sent(payments, 1)[0], card_id=card)
    rows = [changed(body, transaction_id=f"{card}-{i}", timestamp=f"2026-01-20T10:{i:02d}:00Z") for i in range(40)]
    try:
        with serving(payments, address) as (port, _):
            first = [post(port, row) for row in rows]
            assert [post(port, row) for row in rows] == first
        store = RedisStore(address, read_only=True)
        found = [store.find(f"{card}-{i}") for i in range(40)]
        store.close()
    finally:
        with redis.Redis.from_url(address) as client:
            for name in client.scan_iter("counterfoil:*"):
                client.delete(name)
    at = payments.schema.numeric.index("card.count_1h")
    counts = [np.frombuffer(decision.features, np.float64)[at] for decision in found if decision is not None]
    assert counts == list(range(40))


def test_a_store_of_one_process_is_refused(payments: Payments, own_store: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--workers", "2", "--port", "0",
         "--artifacts", str(payments.artifacts), "--database", own_store],
        capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "--workers 2: this store belongs to one process" in done.stderr
