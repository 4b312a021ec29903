"""Signatures as in Standard Webhooks: HMAC-SHA256 of id, time and body, under one secret or, while it changes, two."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable

_PREFIX = "whsec_"
#: Bytes of a secret.
_FEWEST, _MOST, _NEW = 24, 64, 32


def new_secret() -> str:
    """A random secret, ``whsec_…``."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_NEW)).decode()


def secret_bytes(secret: str) -> bytes:
    """What a secret stands for.

    Raises:
        ValueError: it is none; its text is not repeated.
    """
    try:
        found = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        found = b""
    if not (secret.startswith(_PREFIX) and _FEWEST <= len(found) <= _MOST):
        raise ValueError(f"expected {_PREFIX} and {_FEWEST} to {_MOST} bytes in base64")
    return found


def signed(event_id: str, timestamp: int, body: bytes, some: Iterable[str]) -> dict[str, str]:
    """The headers of one attempt.

    Args:
        event_id: the same at each attempt, without a point.
        timestamp: of the attempt, seconds since 1970 UTC.
        some: secrets; a receiver takes the message where it knows one of them.
    """
    content = f"{event_id}.{timestamp}.".encode() + body
    codes = (hmac.digest(secret_bytes(secret), content, hashlib.sha256) for secret in some)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(code).decode()}" for code in codes),
    }
