"""The service as a process: what it prints, how it stops, what it refuses to start with."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from app.server import run
from app.settings import load_settings
from models.errors import CounterfoilError
from tests.app.calls import CARDS
from tests.waiting import FAR, until

ROOT = Path(__file__).parents[2]
SERVE = """
import sys
from app.server import run
from app.settings import load_settings
from models.errors import CounterfoilError
try:
    run(load_settings())
except CounterfoilError as error:
    sys.exit(f"error: {error}")
"""


def start(artifacts: Path, under: Sequence[str] = (), **settings: str) -> subprocess.Popen[str]:
    """A process that is about to serve; ``under``: a command that runs it as its own process, e.g. ``strace -D``."""
    store = tempfile.mkdtemp()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COUNTERFOIL_")},
        "COUNTERFOIL_ARTIFACTS": str(artifacts),
        "COUNTERFOIL_PORT": "0",
        "COUNTERFOIL_DATABASE_URL": f"sqlite:///{store}/counterfoil.db",
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    return subprocess.Popen(
        [*under, sys.executable, "-W", "error", "-c", SERVE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def connect(port: int) -> closing[http.client.HTTPConnection]:
    return closing(http.client.HTTPConnection("127.0.0.1", port, timeout=FAR))


def announced(process: subprocess.Popen[str]) -> tuple[int, str] | None:
    """The port and what was printed, once the process says how to score; None where it ends before."""
    assert process.stdout is not None
    printed = ""
    while "curl" not in printed:
        line = process.stdout.readline()
        if not line:
            return None
        printed += line
    return int(printed.split("http://127.0.0.1:")[1].split("/")[0]), printed


@contextmanager
def running(artifacts: Path, **settings: str) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A process that serves, its port and what it printed."""
    process = start(artifacts, **settings)
    found = announced(process)
    assert found, process.communicate()[1]
    try:
        yield process, *found
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def refusal(monkeypatch: pytest.MonkeyPatch, artifacts: Path, **settings: str) -> str:
    """What a start is refused with, before anything is opened; in this process, for another takes as long to start."""
    for name in [name for name in os.environ if name.startswith("COUNTERFOIL_")]:
        monkeypatch.delenv(name)
    for name, value in {"COUNTERFOIL_ARTIFACTS": str(artifacts), "COUNTERFOIL_PORT": "0", **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CounterfoilError) as refused:
        run(load_settings())
    return str(refused.value)


@pytest.fixture(scope="module")
def shared(tiny_model: Path) -> Iterator[tuple[subprocess.Popen[str], int, str]]:
    """A process that serves those tests that let it live, its port and what it printed."""
    with running(tiny_model.parent) as found:
        yield found


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_printed_curl_works_as_printed(shared: tuple[subprocess.Popen[str], int, str]) -> None:
    _, port, printed = shared
    assert f"http://127.0.0.1:{port}/docs" in printed
    command = next(line for line in printed.splitlines() if line.startswith("curl"))
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert 0 <= json.loads(result.stdout)["score"] < 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_finish(tiny_model: Path, tiny_csv: Path, number: signal.Signals) -> None:
    text = tiny_csv.read_bytes()
    with running(tiny_model.parent) as (process, port, _), connect(port) as connection:
        connection.putrequest("POST", "/v1/score/csv")
        connection.putheader("Content-Type", "text/csv")
        connection.putheader("Content-Length", str(len(text)))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert connection.sock.recv(1_000).startswith(b"HTTP/1.1 100")  # it is in flight: the service asks for its body
        connection.send(text[:-500])
        process.send_signal(number)
        until(partial(_refused, port), "a service that takes no connections any more")
        connection.send(text[-500:])
        response = connection.getresponse()
        assert response.status == 200
        assert len(response.read().splitlines()) == len(text.splitlines())
        assert process.wait(timeout=FAR) == 0


def test_clients_that_still_send_do_not_hold_up_the_end(tiny_model: Path) -> None:
    heads = (
        b"POST /v1/score/csv HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 8000\r\n\r\n",
    )
    with running(tiny_model.parent, COUNTERFOIL_SHUTDOWN_SECONDS="1") as (process, port, _), ExitStack() as stack:
        with connect(port) as connection:
            connection.request("GET", "/healthz")
            assert connection.getresponse().status == 200
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in heads]
        for client, head in zip(clients, heads, strict=True):
            client.sendall(head)
        process.send_signal(signal.SIGTERM)
        until_then = time.monotonic() + FAR
        while clients and process.poll() is None and time.monotonic() < until_then:
            time.sleep(0.05)
            for client in list(clients):
                try:
                    client.sendall(b"x")
                except OSError:
                    clients.remove(client)
        assert process.wait(timeout=FAR) == 0


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=FAR).close()
    except ConnectionError:
        return True
    return False


def test_a_client_that_sends_everything_before_it_reads_is_served(
    shared: tuple[subprocess.Popen[str], int, str], tiny_csv: Path
) -> None:
    process, port, _ = shared
    header, rest = tiny_csv.read_bytes().split(b"\n", 1)
    text = header + b"\n" + rest * (40_000_000 // len(rest))
    with connect(port) as connection:
        # http.client writes the whole body before it looks at the response.
        connection.request("POST", "/v1/score/csv", text, {"Content-Type": "text/csv"})
        body = connection.getresponse().read()
        assert body.count(b"\n") == text.count(b"\n")
        memory = Path(f"/proc/{process.pid}/status").read_text()
        peak = int(memory.split("VmHWM:")[1].split()[0]) / 1_024
        assert peak < 450, f"{peak:.0f} MiB"


def test_a_stream_broken_off_is_seen_to_be_incomplete(
    shared: tuple[subprocess.Popen[str], int, str], tiny_csv: Path
) -> None:
    header, rest = tiny_csv.read_bytes().split(b"\n", 1)
    text = header + b"\n" + rest * (5_000_000 // len(rest)) + b'"' + b"x" * (17 << 20)
    with connect(shared[1]) as connection:
        sender = threading.Thread(target=_send_ignoring_errors, args=(connection, text))
        sender.start()
        sender.join()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response = connection.getresponse()
            assert response.status == 200
            response.read()


def _send_ignoring_errors(connection: http.client.HTTPConnection, text: bytes) -> None:
    with suppress(OSError):
        connection.request("POST", "/v1/score/csv", text, {"Content-Type": "text/csv"})


def test_card_numbers_reach_no_log(tiny_model: Path, transaction: dict[str, Any]) -> None:
    settings = {"COUNTERFOIL_LOG_LEVEL": "debug"}
    with running(tiny_model.parent, **settings) as (process, port, _), connect(port) as connection:
        for card in CARDS:
            for body in (json.dumps({**transaction, "card_id": card}), json.dumps({card: card}), card):
                headers = {"Content-Type": "application/json", "X-Request-ID": card, "User-Agent": card}
                connection.request("POST", f"/v1/score?{card}={card}", body, headers)
                assert card not in connection.getresponse().read().decode()
                connection.request("POST", "/v1/score", body, headers)
                response = connection.getresponse()
                assert card not in response.read().decode() + str(response.getheaders())
        process.terminate()
        output, errors = process.communicate(timeout=FAR)
        assert process.returncode == 0
        assert not any(card in output + errors for card in CARDS)


def test_a_damaged_model_is_refused_naming_file_and_check(tiny_model: Path, tmp_path: Path) -> None:
    artifacts = tmp_path / "artifacts"
    shutil.copytree(tiny_model.parent, artifacts)
    golden = artifacts / tiny_model.name / "golden.json"
    golden.write_bytes(golden.read_bytes().replace(b"1", b"2", 1))
    process = start(artifacts)
    _, errors = process.communicate(timeout=FAR)
    assert process.returncode == 1
    assert "error: golden.json: failed check 'sha256'" in errors and "Traceback" not in errors


def test_no_model_is_said_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "no active model" in refusal(monkeypatch, tmp_path)


def test_a_port_in_use_is_said_so(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        why = refusal(monkeypatch, tiny_model.parent, COUNTERFOIL_PORT=str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in why


def test_an_address_that_is_none_is_said_so(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    why = refusal(monkeypatch, tiny_model.parent, COUNTERFOIL_HOST="999.1.1.1")
    assert "cannot listen on 999.1.1.1 port" in why and why.endswith("choose another --host")


def test_a_bad_setting_is_said_so(monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> None:
    why = refusal(monkeypatch, tiny_model.parent, COUNTERFOIL_MAX_BATCH="many")
    assert "setting COUNTERFOIL_MAX_BATCH" in why
