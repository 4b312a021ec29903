"""The keys that are good now, checked on every request; what changes in their file counts within a second."""

from __future__ import annotations

import logging
import math
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Literal, get_args

from app.access.bucket import Bucket
from app.access.keys import KEY_SHAPE, Key, Scope, read_keys
from app.file_signature import file_signature
from app.problems import Refused
from models.errors import InvalidInput

#: What a route asks of its caller: a scope, or any key at all.
Need = Scope | Literal["any key"]
#: Seconds between two looks at the file.
_LOOK_EVERY = 1.0
_AUTHORIZATION = re.compile(b"(?i:bearer) +" + KEY_SHAPE.pattern.encode())
_EVERYTHING = frozenset[Need]((*get_args(Scope), "any key"))
_log = logging.getLogger("counterfoil")


@dataclass(frozen=True, slots=True)
class _Held:
    """A key in the form that is quick to check. ``expires``: seconds since 1970."""

    client: str
    digest: bytes
    may: frozenset[Need]
    expires: float
    bucket: Bucket | None


class Keyring:
    """Belongs to the event loop's thread.

    Once a file of keys has been there, a key is asked for until the process ends: a file that vanishes or is damaged
    later changes nothing, and is logged.

    Args:
        path: of the file; it need not exist.
        rate: requests per second of a key that names no rate of its own; 0 for no limit.

    Attributes:
        required: whether a key is asked for.

    Raises:
        InvalidInput: the file is there and not as it should be.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self._path = path
        self._rate = rate
        self._held: dict[bytes, _Held] = {}
        # Compared with where there is no such id, so that the time taken does not tell which ids there are.
        self._nobody = _Held("", secrets.token_bytes(32), frozenset(), 0.0, None)
        self.required = False
        self._seen = file_signature(self._path)
        self._take(read_keys(path))
        self._look_at = time.monotonic() + _LOOK_EVERY

    def admit(self, headers: Iterable[tuple[bytes, bytes]], need: Need) -> str | None:
        """Who asks, and that they may.

        Args:
            headers: of the request, names in lower case.

        Returns:
            The client's name; None where no keys are in use.

        Raises:
            Refused: 401, 403 or 429.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self.look()
        if not self.required:
            return None
        sent = [value for name, value in headers if name == b"authorization"]
        if not sent:
            raise _unauthorized("send an API key in the header Authorization: Bearer KEY", "Bearer")
        match = _AUTHORIZATION.fullmatch(sent[0]) if len(sent) == 1 else None
        if match is None:
            raise _unauthorized("the Authorization header is not of the form Bearer KEY, with one whole key")
        held = self._held.get(match[1], self._nobody)
        if not compare_digest(sha256(match[2]).digest(), held.digest):
            raise _unauthorized("the API key is unknown or was revoked")
        if time.time() >= held.expires:
            raise _unauthorized("the API key has expired")
        if held.bucket is not None and (wait := held.bucket.take(now)):
            after = {"Retry-After": str(math.ceil(wait))}
            raise Refused("rate-limited", f"more than {held.bucket.rate:g} requests per second", headers=after)
        if need not in held.may:
            challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{need}"'}
            raise Refused("forbidden", f"the API key does not have the scope {need}", headers=challenge)
        return held.client

    def look(self) -> None:
        """Take over the file's keys if it has changed."""
        signature = file_signature(self._path)
        if signature == self._seen:
            return
        self._seen = signature
        try:
            keys = read_keys(self._path)
            if keys is None:
                raise InvalidInput(f"{self._path}: the file of API keys is gone")
        except InvalidInput as error:
            _log.error("%s. The keys read before stay good", error)
            return
        self._take(keys)
        _log.info("%s: %d API keys read", self._path, len(keys))

    def _take(self, keys: tuple[Key, ...] | None) -> None:
        self.required |= keys is not None
        self._held = {key.id.encode(): self._hold(key) for key in keys or ()}

    def _hold(self, key: Key) -> _Held:
        rate = self._rate if key.rate is None else key.rate
        known = self._held.get(key.id.encode())
        bucket = known.bucket if known is not None else None
        if bucket is None or bucket.rate != rate:  # else it stays as full as it is
            bucket = Bucket(rate) if rate else None
        may = _EVERYTHING if "admin" in key.scopes else frozenset[Need]((*key.scopes, "any key"))
        expires = math.inf if key.expires_at is None else key.expires_at.timestamp()
        return _Held(key.client, bytes.fromhex(key.sha256), may, expires, bucket)


def _unauthorized(detail: str, challenge: str = 'Bearer error="invalid_token"') -> Refused:
    return Refused("unauthorized", detail, headers={"WWW-Authenticate": challenge})
