"""The claim of one of several processes to a store on PostgreSQL, and what the first of them makes ready.

A process that owns a store saves states now and then; those that share it save each with its events, and take places
in the order of arrival from a sequence. So a store is in one of two forms, and changes it while nobody else writes.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection

from app.store.errors import NotShared, StoreInUse
from app.store.sql import migrations
from app.store.sql.advisory import ENTRY, OWNER, PLACES
from app.store.sql.ownership import SessionClaim
from app.store.sql.statements import Statements
from app.store.sql.transaction import ORIGIN, SHARED, WATERMARK, last_seq

#: To make a store ready may take long: for this lock there is no impatience.
_ENTER = f"SELECT set_config('lock_timeout', '0', true), pg_advisory_lock({ENTRY})"
_END_ENTRY = f"SELECT pg_advisory_unlock({ENTRY})"
_TOGETHER = f"SELECT pg_try_advisory_lock_shared({OWNER})"
_ALONE = f"SELECT pg_try_advisory_lock({OWNER})"
_END_TOGETHER = f"SELECT pg_advisory_unlock_shared({OWNER})"
_END_ALONE = f"SELECT pg_advisory_unlock({OWNER})"
#: A process that was stopped in the middle of a transaction keeps others from its cards no longer than this.
_IMPATIENT = "SELECT set_config('idle_in_transaction_session_timeout', '60s', false)"
#: The functions of a list are called in its order. Without the lock others' places would come in between.
_RESERVE = (
    f"SELECT pg_advisory_lock({PLACES}), setval('places', nextval('places') + %s - 1), pg_advisory_unlock({PLACES}), "
    f"(SELECT value FROM meta WHERE name = '{ORIGIN}')"
)
#: Seconds for an owner that has just ended to be gone.
_PATIENCE = 2.0


class SharedClaim(SessionClaim):
    """The claim to write together with others, taken on each connection that is to write.

    Args:
        sql: of the store.
    """

    def __init__(self, name: str, sql: Statements) -> None:
        super().__init__(name)
        self._sql = sql

    def take(self, connection: Connection) -> None:
        """See :class:`app.store.sql.ownership.Claim`.

        Raises:
            NotShared: one process has owned the store so far, and its states lack events.
        """
        # Each statement sees what was committed before it, also by those it has waited for.
        connection.execution_options(isolation_level="READ COMMITTED")
        self._end_own(connection)
        with connection.begin():
            connection.exec_driver_sql(_ENTER)
        try:
            self._join(connection)
        finally:
            with connection.begin():
                connection.exec_driver_sql(_END_ENTRY)
        with connection.begin():
            connection.exec_driver_sql(_IMPATIENT)
        self._remember(connection)

    def _join(self, connection: Connection) -> None:
        self._until_free(connection, _TOGETHER)
        with connection.begin():
            if is_shared(connection, self._sql):
                return
            connection.exec_driver_sql(_END_TOGETHER)
        self._until_free(connection, _ALONE)
        try:
            with connection.begin():
                _make_ready(connection, self._name, self._sql)
            with connection.begin():
                connection.exec_driver_sql(_TOGETHER)
        finally:
            with connection.begin():
                connection.exec_driver_sql(_END_ALONE)

    def _until_free(self, connection: Connection, lock: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with connection.begin():
                if connection.exec_driver_sql(lock).scalar():
                    return
            if time.monotonic() > deadline:
                raise StoreInUse(
                    f"{self._name}: one process owns this store, or others share it with another version of "
                    "Counterfoil; stop them, and start all of them with this version and ?shared=true in the URL"
                )
            time.sleep(0.05)


def is_shared(connection: Connection, sql: Statements) -> bool:
    """Whether a store is ready for several processes of this version."""
    if migrations.revision_of(connection) != migrations.HEAD:
        return False
    return connection.exec_driver_sql(sql.get_meta, (SHARED,)).scalar() is not None


def _make_ready(connection: Connection, name: str, sql: Statements) -> None:
    """While nobody else writes, in the connection's transaction."""
    migrations.upgrade(connection, name)
    if is_shared(connection, sql):
        return
    last, watermark = last_seq(connection, sql), connection.exec_driver_sql(sql.get_meta, (WATERMARK,)).scalar()
    if int(watermark or 0) < last:
        raise NotShared(
            f"{name}: one process has owned this store so far, and its last states are not saved; start the service "
            "on it with ?shared=true first"
        )
    connection.exec_driver_sql("CREATE SEQUENCE IF NOT EXISTS places")
    connection.exec_driver_sql("SELECT setval('places', %s, %s)", (max(last, 1), last > 0))
    connection.exec_driver_sql(sql.set_meta, [(SHARED, "1")])


def reserve(connection: Connection, events: int) -> tuple[int, str | None]:
    """Reserve places in the order of arrival; returns the first, and the origin of the states as JSON."""
    try:
        _, last, _, origin = connection.exec_driver_sql(_RESERVE, (events,)).one()
    except BaseException:
        connection.invalidate()  # its session may hold the lock
        raise
    return last - events + 1, origin
