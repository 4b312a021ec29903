"""Opens the store that a URL names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app.store.contract import PATIENCE
from models.errors import InvalidInput

if TYPE_CHECKING:
    from app.store.contract import Durability, Store

_EXPECTED = (
    "sqlite:///FILE (sqlite:////ABSOLUTE/FILE), postgresql://USER@HOST/DATABASE or redis://HOST:6379/0; "
    "special characters in a password are percent-encoded"
)


def open_store(
    url: str, *, durability: Durability = "full", read_only: bool = False, patience: float = PATIENCE
) -> Store:
    """A store, its tables made or brought up to date.

    Args:
        url: ``sqlite:///file``, ``postgresql://…``, ``redis://…`` or ``rediss://…``.
        durability: "full": what was written survives a loss of power; "normal": it survives the end of the process,
            and a loss of power may take the last moment with it, never the order. Redis does as its server is told:
            what ``risks`` are measured by.
        read_only: read beside the owner, without a claim; see :class:`app.store.sql.store.SqlStore`.
        patience: seconds until a lock that somebody else holds counts as a failure. Redis has no such locks.

    Raises:
        InvalidInput: the URL is of no known kind, or its driver is not installed. No message repeats a password.
        StoreInUse: another process owns the store.
        StoreUnavailable: it cannot be reached.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        return _sqlite(url, durability, read_only, patience)
    if scheme == "postgresql":
        return _postgresql(url, durability, read_only, patience)
    if scheme in ("redis", "rediss"):
        return _redis(url, durability, read_only)
    raise InvalidInput(f"store URL: expected {_EXPECTED}")


# Each kind imports what it needs: a service on one need not have, or wait for, the others.
def _sqlite(url: str, durability: Durability, read_only: bool, patience: float) -> Store:
    from app.store.sql.engines import sqlite_engine  # noqa: PLC0415
    from app.store.sql.files import FileClaim, require_readable  # noqa: PLC0415
    from app.store.sql.store import SqlStore  # noqa: PLC0415

    start, _, file = url.partition("sqlite:///")
    if start or not file or file == ":memory:":
        raise InvalidInput(f"store URL: expected a file, as in {_EXPECTED}")
    path = Path(file)
    if read_only:
        if not path.is_file():
            raise InvalidInput(f"{path}: there is no such database to read; the service makes it when it starts")
        require_readable(path)
        return SqlStore(sqlite_engine(path, durability, True, patience), str(path), None)
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():  # not made: a disk that is not mounted would be replaced by an empty store
        raise InvalidInput(f"{folder}: no such folder for the database; make it, or mount it, or name another one")
    claim = FileClaim(path)
    return SqlStore(sqlite_engine(claim.file, durability, False, patience), str(path), claim)


def _postgresql(url: str, durability: Durability, read_only: bool, patience: float) -> Store:
    from sqlalchemy import make_url  # noqa: PLC0415
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    from app.store.sql.engines import postgresql_engine  # noqa: PLC0415
    from app.store.sql.ownership import SessionClaim  # noqa: PLC0415
    from app.store.sql.store import SqlStore  # noqa: PLC0415

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"store URL: expected {_EXPECTED}") from None
    try:
        engine = postgresql_engine(parsed, durability, read_only, patience)
    except ImportError:
        raise InvalidInput("a PostgreSQL store needs psycopg: pip install 'counterfoil[postgresql]'") from None
    name = f"PostgreSQL database {parsed.database or ''} at {parsed.host or 'the local socket'}:{parsed.port or 5432}"
    return SqlStore(engine, name, None if read_only else SessionClaim(name))


def _redis(url: str, durability: Durability, read_only: bool) -> Store:
    try:
        from app.store.redis.store import RedisStore  # noqa: PLC0415
    except ImportError:
        raise InvalidInput("a Redis store needs its client: pip install 'counterfoil[redis]'") from None
    try:
        urlsplit(url).port  # noqa: B018 - raises where the rest of the URL could not be understood
    except ValueError:
        raise InvalidInput(f"store URL: expected {_EXPECTED}") from None
    return RedisStore(url, durability=durability, read_only=read_only)
