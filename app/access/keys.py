"""API keys as they lie on disk: one JSON file that holds hashes, never the keys."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.private_file import read_private_model
from models.errors import InvalidInput

Scope = Literal["score", "read", "feedback", "metrics", "admin"]
#: Most requests per second that a key can be limited to.
MOST_RATE = 1e6
#: How a key looks: its id and its secret part.
KEY_SHAPE = re.compile(r"cf_([0-9a-f]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Key(BaseModel):
    """What is kept of a key.

    Attributes:
        id: 8 hexadecimal digits, part of the key.
        client: who has it; recorded with what they send.
        sha256: of the key's secret part. It has 256 random bits, so that a slow hash would only slow the service.
        rate: requests per second; 0 for no limit, None for the service's setting.
    """

    model_config = _STRICT

    id: str = Field(pattern=r"^[0-9a-f]{8}$")
    client: str = Field(pattern=rf"^{CLIENT.pattern}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    rate: float | None = Field(default=None, ge=0, le=MOST_RATE)

    def live(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires_at is None or now < self.expires_at


class KeysFile(BaseModel):
    """The whole file."""

    model_config = _STRICT

    format: Literal[1]
    keys: tuple[Key, ...]


def read_keys(path: Path) -> tuple[Key, ...] | None:
    """All keys in the file; None where there is no file.

    Raises:
        InvalidInput: it cannot be read, is damaged, or others could read or write it.
    """
    found = read_private_model(path, KeysFile, "API keys", "create new keys")
    if found is None:
        return None
    keys = found.keys
    if len({key.id for key in keys}) < len(keys):
        raise InvalidInput(f"{path}: the file of API keys is damaged: two keys have one id")
    return keys
