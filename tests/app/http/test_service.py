"""The service itself to clients that its users have: HTTP/1.0, offers of HTTP/2, bodies too large, and too many."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.http.limits import Limits, limits_of
from app.requests.example import example_transaction
from app.settings import Settings
from models.scorer import Scorer
from tests.app.http.edge_server import H2C, one, post, rest
from tests.app.http.test_connection import problem
from tests.app.test_server import ROOT, announced, running, start
from tests.waiting import FAR

JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def port(tiny_model: Path) -> Iterator[int]:
    with running(tiny_model.parent) as (_, found, _):
        yield found


@pytest.fixture(scope="module")
def transaction(tiny_model: Path) -> dict[str, Any]:
    scorer = Scorer.load(tiny_model)
    return example_transaction(scorer.schema, scorer.vocabulary, scorer.bundle.golden)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=FAR)


def test_a_client_that_offers_http_2_gets_its_score(port: int, transaction: dict[str, Any]) -> None:
    request = post("/v1/score", json.dumps(transaction).encode(), *H2C, JSON)
    cut = request.index(b"\r\n\r\n") + 4
    for parts in ([request], [request[:cut], request[cut:]]):
        with connect(port) as client:
            for part in parts:
                client.sendall(part)
            head, body = one(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert 0 <= json.loads(body)["score"] <= 1


def test_http_1_0_gets_a_csv_without_chunks_inside(port: int, tiny_csv: Path) -> None:
    text = tiny_csv.read_bytes()
    request = b"POST /v1/score/csv HTTP/1.0\r\nContent-Type: text/csv\r\nContent-Length: %d\r\n\r\n" % len(text)
    with connect(port) as client:
        client.sendall(request + text)
        head, _, body = rest(client).partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0]
    assert b"chunked" not in head
    lines = body.splitlines()
    assert len(lines) == len(text.splitlines())
    assert len({line.count(b",") for line in lines}) == 1


@pytest.mark.parametrize("headers", [(), ("Connection: close",)])
@pytest.mark.parametrize("size", [3 << 20, 20 << 20])
def test_a_body_too_large_is_told_so_though_it_is_sent_whole(port: int, size: int, headers: tuple[str, ...]) -> None:
    with connect(port) as client:
        client.sendall(post("/v1/score", bytes(size), JSON, *headers))
        head, body = one(client)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert json.loads(body)["type"].endswith(":too-large")


def test_so_is_a_body_of_the_wrong_type(port: int) -> None:
    with connect(port) as client:
        client.sendall(post("/v1/score", bytes(3 << 20), "Content-Type: text/plain", "Connection: close"))
        assert one(client)[0].startswith(b"HTTP/1.1 415 ")
        assert rest(client) == b""


def test_what_is_no_http_gets_a_problem_as_any_other(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"nonsense\r\n\r\n")
        answer = rest(client)
    assert problem(answer) == "bad-request"
    assert b"x-content-type-options: nosniff" in answer


def test_with_few_files_idle_connections_give_way_and_a_line_says_so(tiny_model: Path) -> None:
    process = start(tiny_model.parent, under=["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"])
    found = announced(process)
    assert found, process.communicate()[1]
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(found[0]))
        for path in ("/readyz", "/v1/model"):
            with connect(found[0]) as client:
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert one(client)[0].startswith(b"HTTP/1.1 200 ")
        with connect(found[0]) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            body = one(client)[1].decode()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=FAR)
    assert 'counterfoil_connections_closed_total{reason="room"}' in body
    assert "counterfoil_connections 80.0" in body
    assert process.returncode == 0
    lines = [json.loads(line)["event"] for line in errors.splitlines()]
    assert "96 connections at most, not 4,096: this process may open 256 files (ulimit -n)" in lines
    assert sum("no room" in line for line in lines) == 1


def test_settings_become_limits() -> None:
    settings = Settings(max_connections=40, head_seconds=3, min_bytes_per_second=5)
    assert limits_of(settings) == Limits(connections=40, head_seconds=3, rate=5)


@pytest.mark.parametrize(
    ("ulimit", "printed"),
    [("-n 200", "68 32 200"), ("-n 64", "32 32 64"), ("-Sn 200; ulimit -Hn 4000", "1968 32 4000")],
)
def test_connections_fit_the_files_and_a_soft_limit_is_raised(ulimit: str, printed: str) -> None:
    code = "from app.http.limits import *; print(affordable(4096), affordable(32), most_files())"
    command = ["sh", "-c", f'ulimit {ulimit}; exec "$@"', "sh", sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == printed
