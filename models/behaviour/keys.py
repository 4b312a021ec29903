"""What a card, a merchant or another entity goes by."""

from __future__ import annotations

import hashlib

#: Which entity: the name of its section in the profile, and the digest of its key.
EntityKey = tuple[str, bytes]


def key_digest(key: str) -> bytes:
    """The 16 bytes an entity goes by: no card id stands in a state or a snapshot."""
    return hashlib.blake2b(key.encode(), digest_size=16).digest()
