"""Connections to PostgreSQL that do not wait for ever: a server may be reachable and yet silent, frozen or on a disk
that hangs, which no timeout of TCP or of the server itself notices."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

#: Seconds for a reader's statement.
READING = 60.0


class ImpatientConnection(psycopg.Connection[Any]):
    """Gives up a statement after ``seconds``, and itself with it: what became of the statement is not known.

    Attributes:
        seconds: for each statement from now on, commits among them; None for as long as it takes.
    """

    seconds: float | None = READING

    def wait(self, *args: Any, **more: Any) -> Any:
        """As psycopg's, which all statements go through.

        Raises:
            OperationalError: no answer in time; the connection is closed.
        """
        try:
            return super().wait(*args, **{"timeout": self.seconds, **more})
        except psycopg.OperationalError:
            if (
                self.pgconn.transaction_status == TransactionStatus.ACTIVE
            ):  # no answer of the server's: it is waited for
                self.pgconn.finish()
            raise
