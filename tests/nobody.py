"""A user whom nobody set up: an id without a name, without a home, without rights to what is here."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.private_servers import missing

_ROOT = Path(__file__).parents[1]
_BECOME = """
import os
os.environ.pop("HOME", None)
os.setgroups([])
os.setgid(54_321)
os.setuid(54_321)
"""


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder that anybody may write to; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def as_nobody(before: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code as this user; skips where this user may not become another.

    Args:
        before: run first, by this user: imports, because sources and packages may be closed to others.
    """
    if os.geteuid() != 0:
        missing("only root can become a user that nobody set up")
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    command = [sys.executable, "-c", f"{before}{_BECOME}{code}"]
    environment = kept | {"PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
