"""PostgreSQL and Redis for the tests: found, or started, or the test is skipped (in CI it fails)."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skip; fail where CI promises that it is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} must be there in CI")
    pytest.skip(what)


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a database of its own, owned by a role of its own that has a password."""
    name, password = f"counterfoil_test_{os.getpid()}_{secrets.token_hex(3)}", secrets.token_hex(8)
    _start_postgresql()
    _admin(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'")
    try:
        _admin(f"CREATE DATABASE {name} OWNER {name}")
        yield f"postgresql://{name}:{password}@127.0.0.1:{_admin('SHOW port')}/{name}"
    finally:
        _admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        _admin(f"DROP ROLE {name}")


def _start_postgresql() -> None:
    if shutil.which("psql") is None:
        missing("psql is not installed")
    if _answers():
        return
    cluster = _cluster()
    if cluster is None or not _control(cluster, "start"):
        missing("no PostgreSQL server answers, and none could be started")
    for _ in range(100):
        if _answers():
            return
        time.sleep(0.1)
    missing("PostgreSQL was started and does not answer")


def _cluster() -> str | None:
    found = sorted(path.name for path in Path("/etc/postgresql").glob("*") if (path / "main").is_dir())
    return found[-1] if found and shutil.which("pg_ctlcluster") else None


def _control(cluster: str, *action: str) -> bool:
    command = ["pg_ctlcluster", "--skip-systemctl-redirect", cluster, "main", *action]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0


def _answers() -> bool:
    return any(_psql(command, "SELECT 1").returncode == 0 for command in _COMMANDS)


def _admin(sql: str) -> str:
    """What a superuser gets. This user may be one; root may become one."""
    for command in _COMMANDS:
        done = _psql(command, sql)
        if done.returncode == 0:
            return done.stdout.strip()
    missing(f"no PostgreSQL superuser: {re.sub('PASSWORD.*', '', done.stderr)}")


_PSQL = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-f", "-"]
_COMMANDS = (_PSQL, ["su", "postgres", "-c", " ".join(_PSQL)], [*_PSQL, "-h", "127.0.0.1", "-U", "postgres", "-w"])


def _psql(command: list[str], sql: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, input=sql, capture_output=True, text=True, check=False, cwd="/", timeout=60)


@cache
def redis() -> str:
    """The URL of a server of this run's own, which keeps nothing on disk and ends with the run."""
    from redis import Redis
    from redis.exceptions import ConnectionError

    program = shutil.which("redis-server")
    if program is None:
        missing("redis-server is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    atexit.register(process.kill)
    for _ in range(100):
        try:
            with Redis(port=port) as client:
                client.ping()
        except ConnectionError:
            time.sleep(0.05)
        else:
            return f"redis://127.0.0.1:{port}/0"
    missing("Redis was started and does not answer")
