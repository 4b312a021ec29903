"""API keys made and revoked: the file changed under a lock, written aside, synced and put in place."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.access.keys import CLIENT, Key, KeysFile, Scope, read_keys
from app.private_file import alone, write_private
from models.errors import InvalidInput
from models.pan import contains_card_number

#: Live keys of one client: the one in use and the one that replaces it.
_MOST_LIVE = 2


def create_key(
    path: Path,
    client: str,
    scopes: Sequence[Scope],
    *,
    lifetime: timedelta | None = None,
    rate: float | None = None,
) -> tuple[Key, str]:
    """Add a key to the file, which is made if there is none.

    Returns:
        What is kept of the key, and the key itself, which is kept nowhere.

    Raises:
        InvalidInput: the client's name is none, has two live keys already, or the file is not as it should be.
        OSError: the file cannot be written.
    """
    if not CLIENT.fullmatch(client) or contains_card_number(client):
        raise InvalidInput(
            "client: expected 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        )
    now = datetime.now(UTC)
    with _changing(path) as keys:
        live = [key.id for key in keys if key.client == client and key.live(now)]
        if len(live) >= _MOST_LIVE:
            raise InvalidInput(
                f"client {client} has {len(live)} live keys, {' and '.join(live)}, one to use and one to replace it; "
                f"revoke the one that is no longer used first: counterfoil keys revoke {live[0]}"
            )
        key_id = secrets.token_hex(4)
        while any(key.id == key_id for key in keys):
            key_id = secrets.token_hex(4)
        secret = secrets.token_urlsafe(32)
        created = now.replace(microsecond=0)
        key = Key(
            id=key_id,
            client=client,
            scopes=tuple(dict.fromkeys(scopes)),
            sha256=hashlib.sha256(secret.encode()).hexdigest(),
            created_at=created,
            expires_at=None if lifetime is None else created + lifetime,
            rate=rate,
        )
        keys.append(key)
    return key, f"cf_{key_id}_{secret}"


def revoke_key(path: Path, key_id: str) -> Key:
    """Take a key out of the file.

    Raises:
        InvalidInput: it holds no key with this id, or is not as it should be.
        OSError: it cannot be written.
    """
    with _changing(path) as keys:
        for key in keys:
            if key.id == key_id:
                keys.remove(key)
                return key
    raise InvalidInput(f"{path} holds no key with this id; 'counterfoil keys list' shows those there are")


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys, to be changed by one process at a time; written durably unless the block raises."""
    path = path.resolve()
    with alone(path):
        before = read_keys(path)
        keys = list(before or ())
        yield keys
        if tuple(keys) != (before or ()):
            write_private(path, KeysFile(format=1, keys=tuple(keys)).model_dump_json(indent=1).encode() + b"\n")
