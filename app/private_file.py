"""Files that hold secrets: read only where nobody else can read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from models.errors import InvalidInput


def read_private(path: Path) -> bytes:
    """The content of a file of mode 0600 or less; 0640 or less where root owns it, as PostgreSQL has it for its keys.

    The latter is how systemd (``LoadCredential``) and Kubernetes (``fsGroup``) hand a secret to a service that is not
    root.

    Raises:
        OSError: it cannot be read.
        InvalidInput: others could read or write it.
    """
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        allowed = 0o640 if status.st_uid == 0 else 0o600
        if stat.S_IMODE(status.st_mode) & 0o077 & ~allowed:
            raise InvalidInput(f"{path}: others than its owner may use this file; chmod 600 {path}")
        return file.read()
