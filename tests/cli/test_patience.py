"""Whoever reads the output may stop: the work is done all the same, and the exit code says how it went."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.access.keys import read_keys
from app.health import ask
from models.errors import CounterfoilError
from models.registry import Registry

ROOT = Path(__file__).parents[2]


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe whose other end is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, str(ROOT / "counterfoil.py"), *map(str, arguments)]


def run(unread: int, folder: Path, *arguments: str | Path, both: bool = False) -> tuple[int, str]:
    """Exit code, and what was said on standard error unless that has no reader either."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        stdout=unread,
        stderr=unread if both else subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("both", [False, True])
def test_a_threshold_is_active_though_nobody_reads(unread: int, tiny_model: Path, tmp_path: Path, both: bool) -> None:
    shutil.copytree(tiny_model.parent, tmp_path / "artifacts")
    code, said = run(unread, tmp_path, "threshold", "--alert-rate", "0.03", both=both)
    assert (code, said) == (0, "")
    registry = Registry(tmp_path / "artifacts")
    assert registry.active() == registry.versions()[-1] != tiny_model.name


def test_what_was_trained_is_active_though_nobody_reads(unread: int, tiny_csv: Path, tmp_path: Path) -> None:
    code, said = run(unread, tmp_path, "train", tiny_csv, "--hidden", "4", "--members", "1", "--label-delay", "0d")
    assert (code, said) == (0, "")
    registry = Registry(tmp_path / "artifacts")
    assert [registry.active()] == registry.versions()


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["keys", "list"]])
def test_whoever_stops_reading_has_seen_enough(unread: int, tmp_path: Path, arguments: list[str]) -> None:
    assert run(unread, tmp_path, *arguments) == (0, "")


def test_an_error_is_an_error_whoever_reads(unread: int, tmp_path: Path) -> None:
    code, said = run(unread, tmp_path, "activate", "none")
    assert code == 2 and said.startswith("error: no model version 'none'")
    assert run(unread, tmp_path, "activate", "none", both=True)[0] == 2


def test_a_key_that_nobody_read_is_told_of(unread: int, tmp_path: Path) -> None:
    code, said = run(unread, tmp_path, "keys", "create", "switch", "--scope", "score")
    [key] = read_keys(tmp_path / "keys.json") or ()
    assert code == 2
    assert f"error: nobody read the key; take it back with 'counterfoil keys revoke {key.id}'" in said


def test_a_full_disk_is_told_of_and_not_a_traceback(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        code, said = run(full.fileno(), tmp_path, "models")
    assert (code, said) == (2, "error: No space left on device\n")


def test_a_service_serves_though_nobody_reads(unread: int, tiny_model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = command("serve", "--port", str(port), "--artifacts", tiny_model.parent)
    with subprocess.Popen(serve, cwd=tmp_path, stdout=unread, stderr=unread) as process:
        while not ready(port) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def ready(port: int) -> bool:
    """The service answers."""
    try:
        return ask("127.0.0.1", port, 5).ready
    except CounterfoilError:
        return False
