"""Commands to a Redis server, many in one round trip, and its errors as StoreUnavailable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, ResponseError, TimeoutError
from redis.retry import Retry

from app.store.errors import StoreUnavailable

Command = Sequence[str | bytes | int]


class Lost(StoreUnavailable):
    """The connection broke: what was sent may have been done or not."""


class Wire:
    """One connection. Not redis-py's own pipeline: that repeats what broke, and a payment would be in the log twice."""

    def __init__(self, connection: Any, name: str) -> None:
        self._connection, self._name = connection, name

    def run(self, *commands: Command) -> list[Any]:
        """The replies, in order. No commands, no round trip.

        Raises:
            Lost: the connection broke.
            StoreUnavailable: the server refuses one of them.
        """
        replies, refused = [], None
        if not commands:
            return []
        try:
            self._connection.send_packed_command(self._connection.pack_commands(commands))
            for _ in commands:
                try:
                    replies.append(self._connection.read_response())
                except ResponseError as error:  # the other replies must be read all the same
                    refused = refused or error
        except RedisError as error:
            self._connection.disconnect()
            failure = translated(self._name, error)
        else:
            if refused is None:
                return replies
            failure = translated(self._name, refused)
        raise failure

    def one(self, *command: str | bytes | int) -> Any:
        """The reply to one command."""
        return self.run(command)[0]

    def forget(self) -> None:
        """No longer watch anything."""
        try:
            self.one("UNWATCH")
        except StoreUnavailable:  # the connection is closed then, and the watch with it
            self._connection.disconnect()


class Wires:
    """Connections to one server, made as needed.

    Raises:
        ValueError: the URL cannot be understood.
    """

    def __init__(self, url: str) -> None:
        never = Retry(NoBackoff(), 0)
        self._pool = ConnectionPool.from_url(
            url, protocol=2, retry=never, retry_on_error=[], socket_timeout=5, socket_connect_timeout=5
        )
        where = self._pool.connection_kwargs
        self.name = f"Redis at {where.get('host', 'localhost')}:{where.get('port', 6379)}/{where.get('db', 0)}"

    @contextmanager
    def wire(self) -> Iterator[Wire]:
        """A connection that was alive a moment ago."""
        connection, failure = None, None
        try:
            connection = self._pool.get_connection()
        except RedisError as error:
            failure = translated(self.name, error)
        if connection is None:
            raise failure or StoreUnavailable(self.name)
        try:
            yield Wire(connection, self.name)
        finally:
            self._pool.release(connection)

    def run(self, *commands: Command) -> list[Any]:
        """The replies, on any connection."""
        if not commands:
            return []
        with self.wire() as wire:
            return wire.run(*commands)

    def one(self, *command: str | bytes | int) -> Any:
        """The reply to one command, on any connection."""
        return self.run(command)[0]

    def close(self) -> None:
        """Close them all."""
        self._pool.disconnect()


def translated(name: str, error: RedisError) -> StoreUnavailable:
    """The error to raise. Of a refusal only its code: the rest may repeat what was sent."""
    if isinstance(error, ConnectionError | TimeoutError):
        return Lost(f"{name}: no connection: {error}; is the server running and reachable?")
    code = str(error).partition(" ")[0] if type(error) is ResponseError else type(error).__name__
    return StoreUnavailable(f"{name}: the server refuses: {code}")
