"""Locks of files: of bytes of one, whatever its name, and of a path."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

from app.store.errors import StoreInUse, StoreUnavailable

#: Device and inode: what a file is, whatever its name.
Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """What a path leads to; None for nothing.

    Raises:
        OSError: that cannot be told.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def set_lock(file: int, kind: int, start: int, size: int) -> None:
    """Lock bytes of an open file until that is closed: for whoever else opened it, this process among them.

    Linux has such locks. Elsewhere the lock of the path stands alone.

    Raises:
        OSError: BlockingIOError where another has it.
    """
    if hasattr(fcntl, "F_OFD_SETLK"):
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, start, size, 0))


def is_locked(file: int, start: int) -> bool:
    """Whether somebody has locked a byte with :func:`set_lock`."""
    if not hasattr(fcntl, "F_OFD_GETLK"):
        return False
    asked = struct.pack("hhqqi", fcntl.F_RDLCK, os.SEEK_SET, start, 1, 0)
    try:
        return bool(struct.unpack("hhqqi", fcntl.fcntl(file, fcntl.F_OFD_GETLK, asked))[0] != fcntl.F_UNLCK)
    except OSError:
        return False


class PathLock:
    """The lock of a path: a file beside it, which says who has it. It is there while the lock is held, or was by a
    process that was killed."""

    def __init__(self, file: Path) -> None:
        self._path = file.with_name(file.name + ".lock")
        while True:
            try:
                self._lock = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                raise StoreUnavailable(f"{self._path}: cannot be opened: {error.strerror}") from None
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                owner = os.read(self._lock, 20).decode(errors="replace")
                os.close(self._lock)
                raise StoreInUse(
                    f"{file}: another process{f' ({owner})' if owner else ''} owns this store, says {self._path.name}; "
                    "stop it, give this one another file, or use PostgreSQL or Redis where several processes serve"
                ) from None
            if self._is_there():
                break
            os.close(self._lock)  # its owner removed it as it went
        # Who it is, for the message above. The lock is the kernel's: the file's presence means nothing.
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, str(os.getpid()).encode(), 0)

    def _is_there(self) -> bool:
        status = os.fstat(self._lock)
        return identity(self._path) == (status.st_dev, status.st_ino)

    def release(self) -> None:
        """Let another process have it."""
        with suppress(OSError):
            if self._is_there():
                self._path.unlink()
        os.close(self._lock)
