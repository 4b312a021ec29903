"""Environments that a service meets without having asked for them: it starts, is asked, and says what it left out."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.health import ask
from models.errors import CounterfoilError
from tests.command_line import Cli
from tests.private_servers import missing

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unasked(tmp_path: Path) -> dict[str, str]:
    """What Kubernetes, a company's proxy and a neighbour's metrics leave in the environment."""
    proxies = dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    linked = {"COUNTERFOIL_PORT": "tcp://10.0.0.1:8000", "COUNTERFOIL_SERVICE_HOST": "10.0.0.1"}
    return dict(os.environ) | proxies | linked | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "missing"), "no_proxy": ""}


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "counterfoil.py"), *map(str, arguments)]


def test_a_service_starts_and_is_asked_whatever_the_environment(
    unasked: dict[str, str], tiny_model: Path, tmp_path: Path
) -> None:
    if not socket.has_dualstack_ipv6():
        missing("this machine has no IPv6")
    made = subprocess.run(
        command("keys", "create", "a", "--scope", "score"), cwd=tmp_path, env=unasked, capture_output=True, check=True
    )
    assert made.stdout
    with socket.create_server(("::", 0), family=socket.AF_INET6) as free:
        port = str(free.getsockname()[1])
    serve = command("serve", "--host", "::", "--port", port, "--artifacts", tiny_model.parent)
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                serve, cwd=tmp_path, env=unasked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        stack.callback(process.terminate)
        assert process.stdout is not None
        assert any("curl" in line for line in process.stdout), process.communicate()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"http://127.0.0.1:{port}/readyz", timeout=60) as reply:  # IPv4, of a service on ::
            assert reply.status == 200
        for host in ("::", "0.0.0.0", "127.0.0.1"):
            done = subprocess.run(
                command("health", "--host", host, "--port", port),
                cwd=tmp_path,
                env=unasked,
                capture_output=True,
                check=False,
            )
            assert (done.returncode, json.loads(done.stdout)["status"]) == (0, "ready"), done.stderr
        process.send_signal(signal.SIGTERM)
        _, lines = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "COUNTERFOIL_PORT is what Kubernetes sets for a Service of this name, not a setting: ignored" in lines
    assert not (tmp_path / "missing").exists()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Takes connections and says nothing of its own."""
    with closing(socket.create_server(("127.0.0.1", 0))) as one:
        yield one


def answer(listener: socket.socket, reply: bytes) -> threading.Thread:
    """Answer one request with this."""

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1_000)
            connection.sendall(reply)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("reply", "code", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 0, "hi\n"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno", 1, "no\n"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", 1, "\n"),
        (b"SSH-2.0-no\r\n", 1, ""),
    ],
)
def test_health_says_what_the_service_says(
    cli: Cli, listener: socket.socket, reply: bytes, code: int, said: str
) -> None:
    thread = answer(listener, reply)
    done = cli("health", "--port", str(listener.getsockname()[1]))
    thread.join()
    assert (done.code, done.out) == (code, said)


def test_a_service_that_does_not_answer_is_not_healthy(cli: Cli, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(CounterfoilError, match=rf"http://127.0.0.1:{port}/readyz: no answer: timed out"):
        ask("127.0.0.1", port, 0.1)
    listener.close()
    done = cli("health", "--port", str(port))
    assert (done.code, done.err) == (1, f"http://127.0.0.1:{port}/readyz: no answer: connection refused")
    assert cli("health", "--port", "0").code == 2
