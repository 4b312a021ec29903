"""PostgreSQL and Redis of a test's own, to be killed and started again: nobody else's are touched."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from tests.waiting import FAR, until

#: Options of Redis that a store in it needs.
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class PrivateServer(Protocol):
    """A database server.

    Attributes:
        url: of an empty database.
    """

    url: str

    def start(self) -> None:
        """Start it; returns once it answers."""

    def kill(self) -> None:
        """End it at once: it keeps what it has synced."""

    def freeze(self) -> None:
        """Stop it in its tracks: it is reachable and answers nothing."""

    def thaw(self) -> None:
        """Let it go on."""


@contextmanager
def postgresql() -> Iterator[PrivateServer]:
    """A cluster of its own, as it comes: it syncs what it acknowledges."""
    bins = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("postgres") or (str(bins[-1] / "postgres") if bins else None)
    if found is None:
        missing("PostgreSQL's server programs are not installed")
    with _folder() as folder:
        owner = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        server = _Postgresql(Path(found).resolve().parent, folder, owner)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def redis(*options: str, folder: Path | None = None) -> Iterator[PrivateServer]:
    """A server with these options; without any it syncs what it acknowledges, as a store needs it.

    Args:
        folder: where its data lie, if they are to be there after it.
    """
    if shutil.which("redis-server") is None:
        missing("redis-server is not installed")
    with _folder() as own:
        server = _Redis(folder or own, options or DURABLE)
        server.start()
        try:
            yield server
        finally:
            server.kill()


class _Postgresql:
    def __init__(self, programs: Path, folder: Path, owner: str | None) -> None:
        self._owner, self._data, port = owner, folder / "data", free_port()
        self.url = f"postgresql://counterfoil@127.0.0.1:{port}/postgres"
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
        }
        self._command = [str(programs / "postgres"), "-D", str(self._data)]
        self._command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        if owner is not None:
            shutil.chown(folder, owner)
        subprocess.run(["cp", "--archive", str(_new_cluster(programs, owner)), str(self._data)], check=True)

    def start(self) -> None:
        """See the protocol."""
        import psycopg

        self._process = _started(self._command, self._owner)

        def answers() -> bool:
            psycopg.connect(self.url, connect_timeout=1).close()
            return True

        until(answers, "PostgreSQL, which was started,", not_yet=(psycopg.OperationalError,))

    def kill(self) -> None:
        """See the protocol. SIGQUIT is its immediate stop: nothing is written any more, the next start recovers."""
        self.thaw()
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=FAR)

    def freeze(self) -> None:
        """See the protocol. The postmaster first, so that none is begun meanwhile."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """See the protocol."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        pid = self._process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            with suppress(ProcessLookupError):
                os.kill(int(child), number)


@cache
def _new_cluster(programs: Path, owner: str | None) -> Path:
    """An empty cluster to be copied: to make one takes ten times as long."""
    folder = _until_the_end.enter_context(_folder())
    if owner is not None:
        shutil.chown(folder, owner)
    data = folder / "data"
    make = [str(programs / "initdb"), "-D", str(data), "-U", "counterfoil", "-A", "trust", "--no-sync"]
    subprocess.run(make, user=owner, cwd=folder, capture_output=True, check=True)
    return data


_until_the_end = ExitStack()
atexit.register(_until_the_end.close)


class _Redis:
    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", *options]

    def start(self) -> None:
        """See the protocol."""
        from redis import Redis
        from redis.exceptions import ConnectionError

        self._process = _started(self._command, None)
        with Redis.from_url(self.url) as client:
            until(client.ping, "Redis, which was started,", not_yet=(ConnectionError,))

    def kill(self) -> None:
        """See the protocol."""
        self._process.kill()
        self._process.wait(timeout=FAR)

    def freeze(self) -> None:
        """See the protocol."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """See the protocol."""
        self._process.send_signal(signal.SIGCONT)


def _started(command: list[str], owner: str | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, user=owner, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def free_port() -> int:
    """A port for a server that cannot choose one itself.

    Below those that the system gives to clients: such a port could be taken again before the server has it, or while a
    test keeps the server down.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def missing(what: str) -> NoReturn:
    """Skip; fail where CI promises that it is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} must be there in CI")
    pytest.skip(what)


@contextmanager
def _folder() -> Iterator[Path]:
    """Not under pytest's: another user must be able to reach it."""
    with tempfile.TemporaryDirectory(prefix="counterfoil-") as name:
        yield Path(name)
