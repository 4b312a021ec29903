"""The one connection that writes to an SQL store, and with it the claim to be the only one that does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.store.errors import StoreInUse, StoreUnavailable
from app.store.sql.engines import wait_for, writer
from app.store.sql.failures import guard, translated
from app.store.sql.ownership import Claim

T = TypeVar("T")

#: Seconds to learn what became of a commit whose answer was lost.
_DOUBT = 3.0


class Writer:
    """Runs transactions on the connection; makes another one where it was lost.

    Args:
        connected: called with each new connection, in no transaction: reads anew what may have changed.
    """

    def __init__(self, engine: Engine, name: str, connected: Callable[[Connection], None]) -> None:
        self._engine, self._name, self._connected = engine, name, connected
        self._connection: Connection | None = None
        self._claim = Claim(name)

    def connect(self) -> None:
        """Have a connection and the claim.

        Raises:
            StoreInUse: another process has the claim.
            StoreUnavailable: no connection.
        """
        guard(self._name, self._connect)

    def _connect(self) -> Connection:
        if self._connection is None:
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
            return result[0]
        except StoreInUse as error:
            failure = StoreUnavailable(str(error))
        except SQLAlchemyError as error:
            failure = translated(self._name, error)
            lost = isinstance(error, DBAPIError) and error.connection_invalidated
        if lost or (self._connection is not None and self._connection.in_transaction()):
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
            except (SQLAlchemyError, StoreInUse):
                self.close()
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)

    def close(self) -> None:
        """Give up the connection, and the claim with it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _end(connection)


def _end(connection: Connection) -> None:
    if not connection.invalidated:
        connection.invalidate()
    connection.close()
