"""An address that other machines can reach needs keys; served there, a key is asked for and shown nowhere."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.access.exposure import require_keys
from app.access.key_changes import create_key, revoke_key
from app.access.keys import read_keys
from models.errors import CounterfoilError
from tests.app.test_server import connect, running
from tests.command_line import Cli
from tests.waiting import FAR


def test_loopback_needs_no_key(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "127.1.2.3"):
        with socket.create_server((host, 0)) as listener:
            require_keys(listener, None, tmp_path / "keys.json")
            assert listener.fileno() >= 0


@pytest.mark.parametrize("keys", ["none", "expired", "revoked"])
def test_any_other_address_needs_a_live_key(tmp_path: Path, keys: str) -> None:
    path = tmp_path / "keys.json"
    if keys != "none":
        made, _ = create_key(path, "switch", ["score"], lifetime=timedelta(0))
        if keys == "revoked":
            revoke_key(path, made.id)
    with socket.create_server(("0.0.0.0", 0)) as listener:
        with pytest.raises(CounterfoilError, match=r"cannot listen on 0\.0\.0\.0: .* counterfoil keys create CLIENT"):
            require_keys(listener, read_keys(path), path)
        assert listener.fileno() == -1  # closed at once
    create_key(path, "switch", ["score"])
    with socket.create_server(("0.0.0.0", 0)) as listener:
        require_keys(listener, read_keys(path), path)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_ipv6_is_told_apart(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        require_keys(listener, None, tmp_path / "keys.json")
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6) as listener,
        pytest.raises(CounterfoilError, match="cannot listen on ::"),
    ):
        require_keys(listener, None, tmp_path / "keys.json")


def test_serve_refuses_without_a_key_and_says_what_to_do(cli: Cli, tiny_model: Path) -> None:
    done = cli("serve", "--host", "0.0.0.0", "--port", "0", "--artifacts", tiny_model.parent)
    assert done.code == 2
    assert done.err.startswith("error: cannot listen on 0.0.0.0: other machines can reach it, and keys.json holds no")
    assert "counterfoil keys create CLIENT --scope score" in done.err
    assert not (cli.folder / "counterfoil.db").exists()


def test_serve_refuses_a_file_of_keys_that_is_not_as_it_should_be(cli: Cli, tiny_model: Path) -> None:
    path = cli.folder / "keys.json"
    for content, mode, message in (("{", 0o600, "is damaged"), ("{}", 0o644, "chmod 600 keys.json")):
        path.write_text(content)
        path.chmod(mode)
        done = cli("serve", "--port", "0", "--artifacts", tiny_model.parent)
        assert done.code == 2
        assert done.err.startswith("error: keys.json: ")
        assert message in done.err


def send(port: int, path: str, body: bytes, key: str) -> tuple[int, str]:
    with connect(port) as connection:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", "X-Request-ID": key}
        connection.request("POST", path, body, headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode() + str(reply.getheaders())


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_with_a_key_it_serves_takes_changes_over_and_shows_no_key(
    tiny_model: Path, tmp_path: Path, transaction: dict[str, Any]
) -> None:
    path = tmp_path / "keys.json"
    made, first = create_key(path, "switch", ["score"])
    settings = {
        "COUNTERFOIL_HOST": "0.0.0.0",
        "COUNTERFOIL_KEYS_FILE": str(path),
        "COUNTERFOIL_LOG_LEVEL": "debug",
        "COUNTERFOIL_DATABASE_URL": f"sqlite:///{tmp_path / 'store.db'}",
    }
    body = json.dumps(transaction).encode()
    with running(tiny_model.parent, **settings) as (process, port, printed):
        command = next(line for line in printed.splitlines() if line.startswith("curl"))
        environment = {**os.environ, "KEY": first}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
        assert 0 <= json.loads(done.stdout)["score"] < 1

        _, second = create_key(path, "switch", ["score"])
        revoke_key(path, made.id)
        wrong = f"cf_{made.id}_{second[12:]}"
        answers: list[tuple[int, str]] = []
        while not answers or answers[-1][0] != 200:  # within a second
            answers.append(send(port, "/v1/score", body, second))
        for key in (first, wrong):
            answers.append(send(port, "/v1/score", body, key))
            assert answers[-1][0] == 401
        for place in (f"/v1/{second}", f"/v1/score?key={second}", f"/v1/score?{second}=1"):
            answers.append(send(port, place, body, second))
            assert answers[-1][0] in (404, 422)
        answers.append(send(port, "/v1/score", json.dumps({**transaction, second: second}).encode(), second))
        assert answers[-1][0] == 422
        process.terminate()
        output, errors = process.communicate(timeout=FAR)
        assert process.returncode == 0
    written = "".join(file.read_bytes().decode("latin-1") for file in tmp_path.rglob("*") if file.is_file())
    for secret in (first[12:], second[12:]):
        assert secret not in printed + output + errors + written + str(answers)
    assert "1 API keys read" in errors or "2 API keys read" in errors
