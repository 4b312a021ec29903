"""A file that one process at a time may hold."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """Hold a file, made where there is none; None where another process holds it.

    Returns:
        A descriptor. The file is let go of when it is closed or the process ends, however it ends.

    Raises:
        OSError: the file cannot be opened.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
