"""The file that says who owns an embedded store."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from app.store.contract import StoreInUse, StoreUnavailable


class FileLock:
    """Held from construction to :meth:`release`, or to the end of the process, however it ends."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreUnavailable(f"{path}: cannot be opened: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 20).decode(errors="replace")
            os.close(self._file)
            raise StoreInUse(
                f"{database}: another process{f' ({owner})' if owner else ''} owns this store, says {path.name}; "
                "stop it, give this one another file, or use PostgreSQL or Redis where several processes serve"
            ) from None
        # Who it is, for the message above. The lock is the kernel's: the file's presence means nothing.
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, str(os.getpid()).encode(), 0)

    def release(self) -> None:
        """Let another process have it. The file stays: to remove it would race with whoever opens it now."""
        os.close(self._file)
