"""Connections to SQLite and PostgreSQL, set up for a log: durable, patient, silent about values."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import OperationalError

from app.store.contract import PATIENCE, Durability

#: Of libpq: a server that has vanished without a word is given up after about as many seconds (the last: milliseconds).
_TIMEOUTS = {
    "connect_timeout": int(PATIENCE),
    "keepalives_idle": int(PATIENCE),
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": int(2_000 * PATIENCE),
}
#: Syncs the write-ahead log, copies it to the database file, syncs that.
_SYNC = "PRAGMA wal_checkpoint(PASSIVE)"
#: The file of the log's table, another one after TRUNCATE, too.
_TABLE = "SELECT pg_relation_filenode('decisions')"


def sqlite_engine(path: Path, durability: Durability, read_only: bool, patience: float = PATIENCE) -> Engine:
    """Connections to a file, which is there. In write-ahead mode, readers and the writer do not wait for each other."""

    def connect() -> sqlite3.Connection:
        where = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        connection = sqlite3.connect(
            where, uri=True, timeout=patience, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={durability.upper()}")
            connection.execute("PRAGMA journal_size_limit=67108864")  # what a large begin() leaves behind
        connection.execute("PRAGMA cache_size=-32768")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and then writes would fail, not wait, where another program wrote in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer(connection) else "BEGIN")

    return engine


def postgresql_engine(url: URL, durability: Durability, read_only: bool, patience: float = PATIENCE) -> Engine:
    """Connections to a server. Each is tried before use, so that the server may have been restarted.

    Raises:
        ImportError: psycopg is not installed.
    """
    from app.store.sql.impatient import ImpatientConnection  # noqa: PLC0415 - SQLite needs no psycopg

    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        paramstyle="format",
        pool_pre_ping=True,
        hide_parameters=True,
        isolation_level="REPEATABLE READ",  # a transaction reads one state of the log
        connect_args={name: value for name, value in _TIMEOUTS.items() if name not in url.query},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, args: Any, settings: Any) -> Any:
        return ImpatientConnection.connect(*args, **settings)

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.read_only = read_only
        setting = "off" if durability == "normal" else "on"
        # Stronger settings than "on" (a replica has it too) are the operator's and stay.
        keep = "true" if durability == "normal" else "current_setting('synchronous_commit') = 'off'"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT set_config('synchronous_commit', '{setting}', false) WHERE {keep}")
            cursor.execute(f"SELECT set_config('lock_timeout', '{round(1_000 * patience)}ms', false)")
        connection.commit()

    return engine


def writer(engine: Engine) -> Connection:
    """A connection for the one that writes. To be invalidated when it is done: what it has claimed must not go to a
    reader.

    SQLite: what is found in the write-ahead log may have been written by a process that ended before its sync. It is
    synced here, so that a caller who asks again gets no answer that a power cut could still take back.
    """
    connection = engine.connect()
    wait_for(connection, None)
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        try:
            driver.execute(_SYNC).fetchall()  # not in a transaction, which SQLAlchemy would begin
        except sqlite3.Error as error:
            connection.close()
            raise OperationalError(_SYNC, None, error) from error
    return connection.execution_options(writes=True)


def emptied(connection: Connection) -> bool:
    """Whether all of SQLite's write-ahead log is in the database file, now that it was asked to copy it there."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        with suppress(sqlite3.Error):
            busy, pages, copied = driver.execute(_SYNC).fetchone()
            return not busy and bool(pages == copied)
    return False


def version_of(connection: Connection) -> int:
    """A number that is another one where what was read before may no longer be so, for the connection that writes:
    SQLite, where another connection has written; PostgreSQL, where the log is another table, as after a restore.
    """
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return int(driver.execute("PRAGMA data_version").fetchone()[0])
    return int(connection.exec_driver_sql(_TABLE).scalar() or 0)


def wait_for(connection: Connection, seconds: float | None) -> None:
    """How long each statement of a connection may take from now on; None for as long as it takes.

    SQLite has no such thing: what it waits for is this machine's disk.
    """
    if connection.dialect.name == "postgresql":
        connection.connection.driver_connection.seconds = seconds  # type: ignore[union-attr]


def is_writer(connection: Connection) -> bool:
    """Whether it came from :func:`writer`."""
    return bool(connection.get_execution_options().get("writes"))
