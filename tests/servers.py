"""PostgreSQL and Redis for all tests of a process: started on loopback at the first use, ended with the process.

Nothing has to run beforehand and nobody else's servers are touched. A test that breaks its server starts one of its
own, from :mod:`tests.private_servers`.
"""

from __future__ import annotations

import atexit
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from urllib.parse import urlsplit

from tests import private_servers


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of a database of its own, owned by a role of its own that has a password."""
    import psycopg

    name, password = f"counterfoil_test_{os.getpid()}_{secrets.token_hex(3)}", secrets.token_hex(8)
    with psycopg.connect(_cluster(), autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'".encode())
        try:
            admin.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
            yield f"postgresql://{name}:{password}@127.0.0.1:{urlsplit(_cluster()).port}/{name}"
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"DROP ROLE {name}".encode())


@cache
def _cluster() -> str:
    """The URL of its superuser."""
    return _until_the_end.enter_context(private_servers.postgresql()).url


@cache
def redis() -> str:
    """The URL of a server that keeps nothing on disk."""
    return _until_the_end.enter_context(private_servers.redis("--appendonly", "no")).url


_until_the_end = ExitStack()
atexit.register(_until_the_end.close)
