"""Several processes serve from one Redis, and refuse to from a store that belongs to one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from app.store.redis.store import RedisStore
from models.registry import Registry
from models.rethreshold import rethreshold
from models.thresholds import Policy
from tests import private_servers
from tests.app.http import edge_server
from tests.app.records import changed, sent
from tests.app.test_server import announced
from tests.app.traffic import Payments
from tests.waiting import FAR, until

ROOT = Path(__file__).parents[2]


def start(payments: Payments, url: str) -> subprocess.Popen[str]:
    """Two processes that are about to answer on one port, and their parent."""
    command = [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--workers", "2", "--port", "0"]
    command += ["--artifacts", str(payments.artifacts), "--database", url]
    return subprocess.Popen(
        command,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def serving(payments: Payments, url: str) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """Two processes that answer on one port."""
    process = start(payments, url)
    try:
        found = announced(process)
        assert found, process.communicate()[1]
        yield found[0], process
    finally:
        process.terminate()
        process.communicate(timeout=FAR)


def workers(parent: int) -> list[int]:
    """The processes that serve."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def post(port: int, body: bytes, path: str = "/v1/score") -> dict[str, Any]:
    """Over a connection of its own, so that either process may get it."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=FAR) as answer:
        reply: dict[str, Any] = json.load(answer)
        return reply


def offering_http_2(port: int, body: bytes) -> dict[str, Any]:
    """As Java's client does by default."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(edge_server.post("/v1/score", body, *edge_server.H2C, "Content-Type: application/json"))
        reply: dict[str, Any] = json.loads(edge_server.one(client)[1])
        return reply


def test_both_count_the_same_card_and_end_with_a_reason_once_redis_is_gone(payments: Payments) -> None:
    body = sent(payments, 1)[0]
    rows = [
        changed(body, card_id="card", transaction_id=f"card-{i}", timestamp=f"2026-01-20T10:{i:02d}:00Z")
        for i in range(40)
    ]
    with private_servers.redis("--appendonly", "no") as server, serving(payments, server.url) as (port, process):
        first = [post(port, row) for row in rows]
        assert [post(port, row) for row in rows] == first
        assert offering_http_2(port, rows[0]) == first[0]  # workers have the edge, too
        with closing(RedisStore(server.url, read_only=True)) as store:
            found = [store.find(f"card-{i}") for i in range(40)]
        server.kill()
        os.kill(workers(process.pid)[0], signal.SIGKILL)  # the one that takes its place finds no server
        _, errors = process.communicate(timeout=FAR)
        server.start()
    at = payments.schema.numeric.index("card.count_1h")
    counts = [np.frombuffer(decision.features, np.float64)[at] for decision in found if decision is not None]
    assert counts == list(range(40))
    assert process.returncode == 2
    assert "this worker cannot start: Redis at 127.0.0.1" in errors
    assert "error: a worker could not start" in errors
    assert "Traceback" not in errors and "exception" not in errors
    losses = [json.loads(line) for line in errors.splitlines() if "appendonly" in line]  # said once
    assert [(line["level"], line["event"].partition(" is")[0].rpartition(" ")[2]) for line in losses] == [
        ("warning", "appendonly")
    ]


def test_services_that_find_the_same_store_empty_all_serve(payments: Payments) -> None:
    with private_servers.redis() as server:
        processes = [start(payments, server.url) for _ in range(2)]
        try:
            found = [announced(process) for process in processes]
            assert None not in found, [process.communicate()[1] for process in processes]
            rows = [changed(row, transaction_id=f"t{i}") for i, row in enumerate(sent(payments, 20))]
            for port, _ in filter(None, found):
                assert [post(port, row)["transaction_id"] for row in rows] == [f"t{i}" for i in range(20)]
        finally:
            for process in processes:
                process.terminate()
            errors = [process.communicate(timeout=FAR)[1] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], errors
        assert sum("taken from the model's training data" in printed for _, printed in filter(None, found)) == 1
        lines = [json.loads(line) for text in errors for line in text.splitlines()]
        assert {line["level"] for line in lines} == {"info"}, errors
        assert not any("died" in line["event"] for line in lines), errors


def test_all_workers_change_over_together_and_one_that_takes_anothers_place_too(
    payments: Payments, tmp_path: Path
) -> None:
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    registry = Registry(tmp_path / "artifacts")
    (body,) = sent(payments, 1)
    rows = (changed(body, transaction_id=f"t{i}") for i in count())  # as many as the wait takes
    with (
        private_servers.redis() as server,
        serving(replace(payments, artifacts=registry.root), server.url) as (port, process),
    ):

        def both() -> list[str]:
            """What each of the two answers with; connections go to either."""
            return [post(port, next(rows))["model_version"] for _ in range(12)]

        old = registry.active()
        assert set(both()) == {old}
        manifest, _ = rethreshold(registry.folder(old or ""), registry, Policy(name="alert-rate", value=0.2))
        registry.activate(manifest.version, by="alice")
        until(lambda: set(both()) == {manifest.version}, "the change in all workers")
        with closing(RedisStore(server.url, read_only=True)) as store:
            assert [(one.version, one.by) for one in store.activations()] == [(old, None), (manifest.version, "alice")]
        told = post(port, b"{}", "/v1/models/rollback")
        assert (told["version"], told["state"]) == (old, "serving")
        assert set(both()) == {old}  # at once: it was answered when all had changed over
        for pid in workers(process.pid):
            os.kill(pid, signal.SIGKILL)
        assert set(both()) == {old}  # it waits until somebody takes the connection


def test_a_store_of_one_process_is_refused(payments: Payments, own_store: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--workers", "2", "--port", "0",
         "--artifacts", str(payments.artifacts), "--database", own_store],
        capture_output=True, text=True, check=False, timeout=FAR, env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 2
    assert "--workers 2: this store belongs to one process" in done.stderr
