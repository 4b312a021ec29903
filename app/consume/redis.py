"""Messages from a Redis Stream by a consumer group; what a dead worker has left is taken over after a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import (
    ConnectionError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from app.consume.address import Address
from app.consume.broker import Message, Reason, Settled, Unavailable, dead_letter
from models.errors import CounterfoilError, InvalidInput

#: Milliseconds to wait for a message; seconds for an answer.
_BLOCK, _PATIENCE = 1_000, 10.0
#: Of --broker-config: what the client takes, and nothing that changes what its answers look like.
_PROPERTIES = ("username", "password", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_NEW, _START = b">", b"0-0"
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class RedisStream:
    """A consumer of a group, which is made where there is none: from the beginning of the stream, as Kafka's are.

    Args:
        group, name: of the group and of this worker; one that comes back under its name goes on where it was.
        results: the stream for answers, if any.
        dead_letters: the stream for what can never be scored.
        field: of an entry, that holds the transaction.
        claim_after: seconds after which a worker that has said nothing counts as dead.
        properties: see :data:`_PROPERTIES`.

    Raises:
        CounterfoilError: Redis does not answer, or there is no such stream.
        InvalidInput: a property is none.
    """

    def __init__(
        self,
        address: Address,
        group: str,
        name: str,
        results: str | None,
        dead_letters: str,
        field: str,
        claim_after: float,
        properties: Mapping[str, str],
    ) -> None:
        if unknown := set(properties) - set(_PROPERTIES):
            raise InvalidInput(f"--broker-config: {min(unknown)}: expected one of {', '.join(_PROPERTIES)}")
        host, _, port = address.servers.rpartition(":")
        more: dict[str, Any] = {**properties, "ssl": address.tls}
        self._redis = Redis(
            host, int(port), address.database, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, **more
        )
        self._where, self._stream, self._field = f"Redis at {address.servers}", address.source, field
        self._group, self._name = group, name
        self._results, self._dead_letters = results, dead_letters
        self._claim_ms = round(claim_after * 1_000)
        #: From where on to read: first what this name was given before, then what nobody was.
        self._next = _START
        self._sweep, self._sweep_at = _START, 0.0
        self._in_hand: list[Any] = []
        self._ask(self._require)

    def read(self, most: int) -> Sequence[Message]:
        """See the protocol. One's own first, then what the dead have left, then what is new."""
        while self._next != _NEW:
            found = self._read_group(most)
            self._next = found[-1][0] if found else _NEW
            if messages := self._messages(found):
                return messages
        if time.monotonic() >= self._sweep_at and (messages := self._messages(self._ask(lambda: self._claim(most)))):
            return messages
        return self._messages(self._read_group(most))

    def keep(self) -> None:
        """See the protocol. A claim of one's own begins the time anew after which others may claim."""
        if self._in_hand:
            try:
                self._redis.xclaim(self._stream, self._group, self._name, 0, self._in_hand, justid=True)
            except RedisError as error:
                _log.debug("%s: %s", self._where, error)

    def settle(self, settled: Sequence[Settled]) -> None:
        """See the protocol. Results, dead letters and acknowledgements are one transaction."""
        pipeline = self._redis.pipeline(transaction=True)
        for one in settled:
            if isinstance(one.outcome, Reason):
                value, _, why = dead_letter(one.message, one.outcome)
                entry: dict[Any, Any] = {**why} if value is None else {**why, self._field: value}
                pipeline.xadd(self._dead_letters, entry)
            elif self._results is not None:
                answer: dict[Any, Any] = {"result": one.outcome, **one.message.origin}
                pipeline.xadd(self._results, answer)
        pipeline.xack(self._stream, self._group, *(one.message.token for one in settled))
        self._ask(pipeline.execute)
        self._in_hand = []

    def lag(self) -> int | None:
        """See the protocol."""
        try:
            group = next(one for one in self._redis.xinfo_groups(self._stream) if one["name"] == self._group.encode())
        except (RedisError, StopIteration):
            return None
        return None if group.get("lag") is None else int(group["lag"]) + int(group["pending"])

    def close(self) -> None:
        """See the protocol."""
        self._redis.close()

    def _require(self) -> None:
        # Of those to write to, too: a transaction goes on after a command that finds something else there.
        for name in filter(None, (self._stream, self._results, self._dead_letters)):
            kind: Any = self._redis.type(name)
            if kind not in (b"stream", b"none"):
                raise CounterfoilError(f"{self._where} has a {kind.decode()} in place of a stream {name}")
        if not self._redis.exists(self._stream):
            raise CounterfoilError(
                f"{self._where} has no stream {self._stream}. An empty one: "
                f"redis-cli XGROUP CREATE {self._stream} {self._group} 0 MKSTREAM"
            )
        if self._group.encode() not in (one["name"] for one in self._redis.xinfo_groups(self._stream)):
            self._redis.xgroup_create(self._stream, self._group, "0")
            _log.info("the group %s is new: it begins with the oldest entry of %s", self._group, self._stream)

    def _read_group(self, most: int) -> list[tuple[bytes, Any]]:
        streams: Any = {self._stream: self._next}
        found: Any = self._ask(lambda: self._redis.xreadgroup(self._group, self._name, streams, most, _BLOCK))
        return list(found[0][1]) if found else []

    def _claim(self, most: int) -> list[tuple[bytes, Any]]:
        found: Any = self._redis.xautoclaim(
            self._stream, self._group, self._name, self._claim_ms, self._sweep, count=most
        )
        self._sweep = found[0]
        if self._sweep == _START:  # once around
            self._sweep_at = time.monotonic() + self._claim_ms / 2_000
        return [entry for entry in found[1] if entry[0] is not None]

    def _messages(self, entries: Sequence[tuple[bytes, Any]]) -> list[Message]:
        """Those that still lie on the stream; others were deleted before they were read, and are acknowledged."""
        gone = [entry for entry, fields in entries if not fields]
        if gone:
            _log.warning("%d entries were deleted from %s before they were scored", len(gone), self._stream)
            self._ask(lambda: self._redis.xack(self._stream, self._group, *gone))
        name = self._field.encode()
        messages = [
            Message(fields.get(name), None, {"stream": self._stream, "entry": entry.decode()}, entry)
            for entry, fields in entries
            if fields
        ]
        self._in_hand = [message.token for message in messages]
        return messages

    def _ask(self, ask: Callable[[], _T]) -> _T:
        try:
            return ask()
        except (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError) as error:
            if "AUTH" in str(error) or type(error).__name__ == "AuthenticationError":
                raise CounterfoilError(f"{self._where} refuses user or password") from None
            raise Unavailable(f"{self._where} does not answer: {type(error).__name__}") from None
        except NoPermissionError:
            raise CounterfoilError(f"{self._where} lets this user not at {self._stream} or its other streams") from None
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                raise CounterfoilError(
                    f"{self._where}: the stream {self._stream} or its group {self._group} was deleted; started again, "
                    "the worker makes the group and reads the stream from its beginning"
                ) from None
            raise CounterfoilError(f"{self._where}: {str(error).partition(' ')[0]}") from None
