"""The one connection of a process that writes to an SQL store, and with it the claim to do so."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from app.store.errors import StoreInUse, StoreUnavailable
from app.store.sql.engines import emptied, wait_for, writer
from app.store.sql.failures import guard, translated
from app.store.sql.ownership import Claim, require_place

T = TypeVar("T")

#: Seconds to learn what became of a commit whose answer was lost.
_DOUBT = 3.0


class Writer:
    """Runs transactions on the connection; makes another one where it was lost.

    Args:
        claim: released on close.
        connected: called with each new connection, in no transaction: reads anew what may have changed.
    """

    def __init__(self, engine: Engine, name: str, claim: Claim, connected: Callable[[Connection], None]) -> None:
        self._engine, self._name, self._claim, self._connected = engine, name, claim, connected
        self._connection: Connection | None = None
        self._parted = self._ended = False
        #: The open connections to the database, readers' among them.
        self._open: set[int] = set()
        event.listen(engine, "connect", lambda opened, _: self._open.add(id(opened)))
        event.listen(engine, "close", lambda closed, _: self._open.discard(id(closed)))
        event.listen(engine, "checkin", self._checked_in)

    def connect(self) -> None:
        """Have a connection and the claim.

        Raises:
            StoreInUse: another process has the claim.
            StoreUnavailable: no connection.
        """
        guard(self._name, self._connect)

    def _connect(self) -> Connection:
        if self._connection is None:
            self._arrive()
            connection = writer(self._engine)
            try:
                self._claim.take(connection)
                self._connected(connection)
            except BaseException:
                _end(connection)
                raise
            self._connection = connection
        return self._connection

    def run(
        self,
        act: Callable[[Connection], T],
        may_repeat: Callable[[], bool] = lambda: True,
        landed: Callable[[Connection], bool] = lambda _: False,
        seconds: float | None = None,
    ) -> T:
        """What ``act`` returns, in one transaction.

        Args:
            act: is called again on a new connection where the old one turned out to be dead.
            may_repeat: asked before that.
            landed: whether the transaction is in the database: asked where the connection broke while it committed.
            seconds: for each statement of it; None for as long as it takes.

        Raises:
            StoreUnavailable: nothing was kept.
        """
        committing = lost = False
        result: list[T] = []
        try:
            connection = self._connect()
            wait_for(connection, seconds)
            with connection.begin():
                result.append(act(connection))
                committing = True
            broken = self._claim.broken()
            if broken is None:
                return result[0]
            failure = StoreUnavailable(f"{self._name}: {broken}")
            self._part()
            lost = self._claim.moved() is None  # where only the files beside the database went, nothing need be lost
        except StoreInUse as error:
            failure = StoreUnavailable(str(error))
        except SQLAlchemyError as error:
            failure = translated(self._name, error)
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
            if isinstance(error, IntegrityError):
                self._look_again()
        if lost or self._unusable():
            self.close()
        if lost and committing and self._has_landed(landed):
            return result[0]
        if lost and not committing and may_repeat():
            return self.run(act, lambda: False, landed, seconds)
        raise failure

    def _has_landed(self, landed: Callable[[Connection], bool]) -> bool:
        """Raises nothing: where the database stays away, the transaction counts as failed."""
        deadline = time.monotonic() + _DOUBT
        while True:
            try:
                connection = self._connect()
                wait_for(connection, _DOUBT)
                with connection.begin():
                    return landed(connection)
            except (SQLAlchemyError, StoreInUse, StoreUnavailable):
                self.close()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def _unusable(self) -> bool:
        connection = self._connection
        return connection is not None and (connection.invalidated or connection.in_transaction())

    def _look_again(self) -> None:
        """Read anew what may have changed: another program has written to the database."""
        if self._connection is not None:
            with suppress(SQLAlchemyError):  # the next transaction will say so
                self._connected(self._connection)

    def _part(self) -> None:
        """Close all connections: what they have open is no longer what its names lead to."""
        self._parted = True  # from now on readers' connections are closed where they are done
        with self._claim.parting(self._emptied()):
            self.close()
            self._engine.pool.dispose()

    def _emptied(self) -> bool:
        return self._connection is not None and emptied(self._connection)

    def _checked_in(self, _connection: Any, record: ConnectionPoolEntry) -> None:
        if self._parted:
            record.invalidate()

    def _arrive(self) -> None:
        """Before a new connection.

        Raises:
            StoreUnavailable: it would lead to another database, or one of the old connections is still being used.
        """
        require_place(self._claim, self._name)
        if self._open and self._parted:
            raise StoreUnavailable(f"{self._name}: its files were removed while it is being read; try again")
        self._parted = False

    def close(self) -> None:
        """Give up the connection, and on PostgreSQL the claim with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _end(connection)

    def end(self) -> None:
        """Close all connections and give up the claim, once."""
        if self._ended:
            return
        self._ended = True
        with self._claim.parting(self._emptied()):
            self.close()
            self._engine.dispose()
        self._claim.release()


def _end(connection: Connection) -> None:
    if not connection.invalidated:
        connection.invalidate()
    connection.close()
