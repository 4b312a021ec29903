"""What takes long to make is made once a run, by the first of its processes that needs it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def shared(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that all processes of a run read. Nobody may change what lies in it.

    Args:
        make: fills the empty folder it is given. Where it fails, the next process tries again, and fails on its own.
    """
    run = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        run = run.parent  # each process has a folder in the run's
    folder, making = run / f"shared-{name}", run / f"making-{name}-{os.getpid()}"
    with (run / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            making.mkdir()
            make(making)
            making.rename(folder)
    return folder
