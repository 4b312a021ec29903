"""Whether a file is the one that was read before."""

from __future__ import annotations

import os
from pathlib import Path


def file_signature(path: Path) -> tuple[int, ...] | None:
    """What differs once a file is changed or replaced; None where there is none, or it cannot be looked at."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
