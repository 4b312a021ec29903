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
    "sqlite:///FILE (sqlite:////ABSOLUTE/FILE), postgresql://USER@HOST/DATABASE (several processes: …/DATABASE?"
    "shared=true) or redis://HOST:6379/0; special characters in a password are percent-encoded"
)

#: The parameter of a PostgreSQL store's URL by which several processes share it.
_SHARED = "shared"


def open_store(
    url: str, *, durability: Durability = "full", read_only: bool = False, patience: float = PATIENCE
) -> Store:
    """A store, its tables made or brought up to date.

    Args:
        url: ``sqlite:///file``, ``postgresql://…``, ``redis://…`` or ``rediss://…``. Of PostgreSQL, ``shared=true``
            among the query's parameters lets several processes write, at the price of a state read and written with
            each event.
        durability: "full": what was written survives a loss of power; "normal": it survives the end of the process,
            and a loss of power may take the last moment with it, never the order. Redis does as its server is told:
            what ``risks`` are measured by.
        read_only: read beside the owner, without a claim; see :class:`app.store.sql.store.SqlStore`.
        patience: seconds until a lock that somebody else holds counts as a failure. Redis has no such locks.

    Raises:
        InvalidInput: the URL is of no known kind, or its driver is not installed. No message repeats a password.
        StoreInUse: another process owns the store.
        NotShared: it is to be shared, and the states that its last owner left lack events.
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
    from app.store.sql.shared import SharedSqlStore  # noqa: PLC0415
    from app.store.sql.sharing import SharedClaim  # noqa: PLC0415
    from app.store.sql.statements import Statements  # noqa: PLC0415
    from app.store.sql.store import SqlStore  # noqa: PLC0415

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidInput(f"store URL: expected {_EXPECTED}") from None
    shared = parsed.query.get(_SHARED, "false")
    if shared not in ("true", "false"):
        raise InvalidInput(f"store URL: {_SHARED}: expected true or false")
    parsed = parsed.difference_update_query([_SHARED])
    try:
        engine = postgresql_engine(parsed, durability, read_only, patience)
    except ImportError:
        raise InvalidInput("a PostgreSQL store needs psycopg: pip install 'counterfoil[postgresql]'") from None
    name = f"PostgreSQL database {parsed.database or ''} at {parsed.host or 'the local socket'}:{parsed.port or 5432}"
    if read_only:
        return SqlStore(engine, name, None)
    if shared == "true":
        return SharedSqlStore(engine, name, SharedClaim(name, Statements(engine.dialect)))
    return SqlStore(engine, name, SessionClaim(name))


def shared_url(url: str, shared: bool) -> str:
    """The URL of the same store, for several processes or for one. As it is where the store knows no such choice."""
    if not url.lower().startswith("postgresql:"):
        return url
    from sqlalchemy import make_url  # noqa: PLC0415

    parsed = make_url(url).difference_update_query([_SHARED])
    if shared:
        parsed = parsed.update_query_dict({_SHARED: "true"})
    return parsed.render_as_string(hide_password=False)


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
