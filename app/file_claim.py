"""A file that one process at a time works with: a lock beside it, held for as long as the process lives."""

from __future__ import annotations

from pathlib import Path

from models.errors import CounterfoilError
from models.file_lock import try_lock

_LOCK = ".lock"


def claim(path: Path, held: str, does: str) -> int:
    """A lock, released when this descriptor is closed or the process ends, however it ends.

    Args:
        held: what the file holds, ``does``: what a process does with it, for messages.

    Raises:
        CounterfoilError: another process has it, or it cannot be made.
    """
    try:
        lock = try_lock(path.with_name(path.name + _LOCK))
    except OSError as error:
        raise CounterfoilError(f"{path}: cannot hold {held}: {error.strerror}") from None
    if lock is None:
        raise CounterfoilError(f"{path}: another process {does} this file; stop it first")
    return lock
