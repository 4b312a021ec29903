"""What can befall a store, brought about for real: syncs that fail, a full disk, a held lock, a server that is gone."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import private_servers
from tests.private_servers import PrivateServer


@dataclass(frozen=True)
class Fault:
    """A store, and how to make it fail.

    Attributes:
        url: of the store; empty at first.
        begin, end: what makes it fail, and what makes it well again.
        settings: environment variables that the service needs for it.
        shared: several processes may use the store: its states are in no process's memory.
    """

    url: str
    begin: Callable[[], None]
    end: Callable[[], None]
    settings: dict[str, str] = field(default_factory=dict)
    shared: bool = False


def failing_sync(folder: Path) -> dict[str, str]:
    """Environment variables with which a process fails to sync while the file ``fail`` is in the folder."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = folder / "fail_sync.so"
    source = Path(__file__).with_name("fail_sync.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "FAIL_SYNC": str(folder / "fail")}


@contextmanager
def sync_error(folder: Path) -> Iterator[Fault]:
    """fsync and fdatasync say that the disk failed."""
    sign = folder / "fail"
    yield Fault(f"sqlite:///{folder / 'log.db'}", sign.touch, sign.unlink, failing_sync(folder))


@contextmanager
def full_disk(folder: Path) -> Iterator[Fault]:
    """A file system of a few megabytes that somebody else fills."""
    place = folder / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "counterfoil-test", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    ballast = place / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4_096)
            except OSError as error:
                assert error.errno == errno.ENOSPC

    try:
        yield Fault(f"sqlite:///{place / 'log.db'}", fill, ballast.unlink)
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def held_lock(folder: Path) -> Iterator[Fault]:
    """Another program that has begun to write and does not end."""
    file = folder / "log.db"
    others: list[sqlite3.Connection] = []

    def begin() -> None:
        other = sqlite3.connect(file, isolation_level=None, timeout=30, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
        others.append(other)

    def end() -> None:
        others.pop().close()

    yield Fault(f"sqlite:///{file}", begin, end)
    while others:
        end()


@contextmanager
def stopped_postgresql(_folder: Path) -> Iterator[Fault]:
    """A server that is stopped without warning."""
    with private_servers.postgresql() as server:
        yield _stopped(server, shared=False)


@contextmanager
def frozen_postgresql(_folder: Path) -> Iterator[Fault]:
    """A server that can be reached and does not answer: on a disk that hangs, in a machine that is being moved."""
    with private_servers.postgresql() as server:
        yield Fault(f"{server.url}?connect_timeout=2", server.freeze, server.thaw)


@contextmanager
def frozen_redis(_folder: Path) -> Iterator[Fault]:
    """The same."""
    with private_servers.redis() as server:
        yield Fault(server.url, server.freeze, server.thaw, shared=True)


@contextmanager
def stopped_redis(_folder: Path) -> Iterator[Fault]:
    """A server that is killed."""
    with private_servers.redis() as server:
        yield _stopped(server, shared=True)


def _stopped(server: PrivateServer, *, shared: bool) -> Fault:
    return Fault(server.url, server.kill, server.start, shared=shared)


FAULTS: dict[str, Callable[[Path], AbstractContextManager[Fault]]] = {
    "a sync fails": sync_error,
    "the disk is full": full_disk,
    "a lock is held": held_lock,
    "PostgreSQL is stopped": stopped_postgresql,
    "PostgreSQL is frozen": frozen_postgresql,
    "Redis is killed": stopped_redis,
    "Redis is frozen": frozen_redis,
}
