"""Who owns an SQL store: the claim to be the only process that writes to it, one for each kind of database.

SQLite: the lock of a file beside the database. PostgreSQL: a lock of the session that writes.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from sqlalchemy import Connection

from app.store.errors import StoreInUse, StoreUnavailable

#: One lock for each schema of each database. It goes with the connection: who has lost the one has lost the other.
_TAKE = "SELECT pg_try_advisory_lock(hashtext('counterfoil'), hashtext(current_schema()))"
#: A server notices within a minute that the owner's machine is gone, and lets another have the claim.
_NOTICE = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)
_WHO = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s"
#: Seconds for a session that was ended to be gone.
_PATIENCE = 2.0


class FileLock:
    """The lock of an SQLite store, held until :meth:`release` or the end of the process, however it ends."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreUnavailable(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 20).decode(errors="replace")
            os.close(self._file)
            raise StoreInUse(
                f"{database}: another process{f' ({owner})' if owner else ''} owns this store, says {path.name}; "
                "stop it, give this one another file, or use PostgreSQL or Redis where several processes serve"
            ) from None
        # Who it is, for the message above. The lock is the kernel's: the file's presence means nothing.
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process have it. The file stays: to remove it would race with whoever opens it now."""
        os.close(self._file)


class Claim:
    """The lock of a PostgreSQL store, taken on each connection that is to write.

    Once it is taken again, the session that had it is over, and so is whatever it was committing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: tuple[int, str] | None = None

    def take(self, connection: Connection) -> None:
        """On a connection in no transaction. SQLite has :class:`FileLock` instead.

        Raises:
            StoreInUse: another process has it.
        """
        if connection.dialect.name != "postgresql":
            return
        deadline = time.monotonic() + _PATIENCE
        while not self._try(connection):
            if self._session is None or time.monotonic() > deadline:
                raise StoreInUse(
                    f"{self._name}: another process owns this store; stop it, give this one another database or "
                    "schema, or use Redis where several processes serve"
                )
            time.sleep(0.05)
        with connection.begin():
            connection.exec_driver_sql(_NOTICE)
            pid, started = connection.exec_driver_sql(_WHO).one()
            self._session = pid, started

    def _try(self, connection: Connection) -> bool:
        with connection.begin():
            if self._session is not None:  # our own, whose connection broke: the server may not know that yet
                connection.exec_driver_sql(_END, self._session)
            return bool(connection.exec_driver_sql(_TAKE).scalar())
