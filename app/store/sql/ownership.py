"""Who owns an SQL store: the claim to be the only process that writes to it, one for each kind of database.

SQLite's is in :mod:`app.store.sql.files`; PostgreSQL's is a lock of the session that writes.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from sqlalchemy import Connection

from app.store.errors import StoreInUse, StoreUnavailable
from app.store.sql.advisory import OWNER

#: It goes with the connection: who has lost the one has lost the other.
_TAKE = f"SELECT pg_try_advisory_lock({OWNER})"
#: A server notices within a minute that the owner's machine is gone, and lets another have the claim.
_NOTICE = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)
_WHO = "SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_OWN = "FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s"
_END, _LIVES = f"SELECT pg_terminate_backend(pid) {_OWN}", f"SELECT 1 {_OWN}"
#: Seconds for a session that was ended to be gone.
_PATIENCE = 2.0


class Claim(Protocol):
    """The claim of one process to one database."""

    def moved(self) -> str | None:
        """Why a connection would lead to another database than the claimed one; None while it would not."""

    def take(self, connection: Connection) -> None:
        """Have the claim on a new connection that is to write, in no transaction.

        Raises:
            StoreInUse: another process has it.
        """

    def broken(self) -> str | None:
        """Why what was committed just now may be lost although the database said that it is durable; None if not."""

    def parting(self, emptied: bool) -> AbstractContextManager[None]:
        """To be around the closing of the last connections: they leave alone what is not theirs, and nothing of theirs.

        Args:
            emptied: whether the database file holds all that was committed.
        """

    def release(self) -> None:
        """Let another process have it. All connections are closed."""


def require_place(claim: Claim | None, name: str) -> None:
    """Check that a new connection leads to the claimed database; a reader has no claim and takes what is there.

    Args:
        name: of the store, for the message.

    Raises:
        StoreUnavailable: it leads to another.
    """
    moved = None if claim is None else claim.moved()
    if moved is not None:
        raise StoreUnavailable(f"{name}: {moved}")


class SessionClaim:
    """The claim to be the only one that writes to a PostgreSQL store, taken on each connection that is to write.

    Once it is taken again, the session that had it is over, and so is whatever it was committing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._session: tuple[int, str] | None = None

    def take(self, connection: Connection) -> None:
        """See :class:`Claim`."""
        self._end_own(connection)
        with connection.begin():
            if not connection.exec_driver_sql(_TAKE).scalar():
                raise StoreInUse(
                    f"{self._name}: another process owns this store, or several share it; stop it, give this one "
                    "another database or schema, or start all of them with ?shared=true in the URL"
                )
        self._remember(connection)

    def _end_own(self, connection: Connection) -> None:
        """End our own session, whose connection broke: the server may not know that yet."""
        deadline = time.monotonic() + _PATIENCE
        while self._session is not None:
            with connection.begin():
                connection.exec_driver_sql(_END, self._session)
            with connection.begin():
                if connection.exec_driver_sql(_LIVES, self._session).first() is None:
                    self._session = None
                    return
            if time.monotonic() > deadline:
                raise StoreInUse(f"{self._name}: this process's own session, whose connection broke, does not end")
            time.sleep(0.05)

    def _remember(self, connection: Connection) -> None:
        with connection.begin():
            connection.exec_driver_sql(_NOTICE)
            pid, started = connection.exec_driver_sql(_WHO).one()
            self._session = pid, started

    def moved(self) -> str | None:
        """See :class:`Claim`. A server's database goes with its server."""
        return None

    def broken(self) -> str | None:
        """See :class:`Claim`. The server looks after its files."""
        return None

    def parting(self, emptied: bool) -> AbstractContextManager[None]:
        """See :class:`Claim`."""
        return nullcontext()

    def release(self) -> None:
        """See :class:`Claim`. The lock went with the connection."""
