"""The stores, each with a place of its own per test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.store.contract import Store
from app.store.open import open_store
from tests import servers


@dataclass(frozen=True)
class Backend:
    """A place for a store, empty at first.

    Attributes:
        url: as for :func:`app.store.open.open_store`. Redis: with ``prefix``.
    """

    kind: str
    url: str
    prefix: str = ""

    def open(self, read_only: bool = False) -> Store:
        if self.kind == "redis":
            from app.store.redis.store import RedisStore

            return RedisStore(self.url, self.prefix, read_only=read_only)
        return open_store(self.url, read_only=read_only)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    with servers.postgresql() as url:
        yield url


@pytest.fixture
def sqlite_backend(tmp_path: Path) -> Backend:
    return Backend("sqlite", f"sqlite:///{tmp_path / 'log.db'}")


@pytest.fixture
def postgresql_backend(postgresql_server: str) -> Iterator[Backend]:
    """A schema of its own."""
    import psycopg

    schema = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}".encode())
    yield Backend("postgresql", f"{postgresql_server}?options=-csearch_path%3D{schema}")
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())


@pytest.fixture
def shared_postgresql_backend(postgresql_backend: Backend) -> Backend:
    """The same, for several processes."""
    return Backend("shared_postgresql", f"{postgresql_backend.url}&shared=true")


@pytest.fixture
def redis_backend() -> Iterator[Backend]:
    """A prefix of its own, with characters that patterns know."""
    from redis import Redis

    backend = Backend("redis", servers.redis(), f"counterfoil-test[*]{secrets.token_hex(6)}:")
    yield backend
    with Redis.from_url(backend.url) as client:
        pattern = backend.prefix.replace("[*]", r"\[\*\]") + "*"
        for name in client.scan_iter(match=pattern, count=10_000):
            client.unlink(name)


@pytest.fixture(params=["sqlite", "postgresql", "shared_postgresql", "redis"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each of them."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def sql_backend(request: pytest.FixtureRequest) -> Backend:
    """Each that is owned by one process."""
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found


@pytest.fixture
def opened() -> Iterator[Callable[[Store], Store]]:
    """Has what it is given closed at the end of the test."""
    with ExitStack() as stack:

        def keep(store: Store) -> Store:
            stack.callback(store.close)
            return store

        yield keep


@pytest.fixture
def store(backend: Backend) -> Iterator[Store]:
    """An open store of each kind, empty."""
    found = backend.open()
    yield found
    found.close()


@pytest.fixture
def empty_redis() -> Callable[[], str]:
    """Gives the URL of a database of Redis, empty; it is that of the last call, too."""
    from redis import Redis

    url = servers.redis().removesuffix("/0") + "/7"

    def empty() -> str:
        with Redis.from_url(url) as client:
            client.flushdb()
        return url

    return empty


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    """That of an empty store of each kind."""
    if request.param == "redis":
        place: Callable[[], str] = request.getfixturevalue("empty_redis")
        return place()
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found.url


@pytest.fixture(params=["shared_postgresql", "redis"])
def shared_store(request: pytest.FixtureRequest) -> str:
    """The URL of an empty store of each kind that several processes may share."""
    if request.param == "redis":
        place: Callable[[], str] = request.getfixturevalue("empty_redis")
        return place()
    found: Backend = request.getfixturevalue(f"{request.param}_backend")
    return found.url
