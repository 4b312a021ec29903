"""A file that one process at a time works with: a lock beside it, held for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from models.errors import CounterfoilError

_LOCK = ".lock"


def claim(path: Path, held: str, does: str) -> int:
    """A lock, released when this descriptor is closed or the process ends, however it ends.

    Args:
        held: what the file holds, ``does``: what a process does with it, for messages.

    Raises:
        CounterfoilError: another process has it, or it cannot be made.
    """
    try:
        lock = os.open(path.with_name(path.name + _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CounterfoilError(f"{path}: cannot hold {held}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CounterfoilError(f"{path}: another process {does} this file; stop it first") from None
    return lock
