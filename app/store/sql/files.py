"""The claim to an SQLite store, and the identity of its files: a path may come to mean another file than was opened.

Whoever else has the same file is found whatever name they know it by: symbolic link, hard link or bind mount.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection

from app.store.errors import StoreInUse, StoreUnavailable
from app.store.sql.locks import Identity, PathLock, identity, is_locked, set_lock

#: The byte of the database file that its owner locks, far beyond what SQLite reads, writes or locks itself.
_OWNERS_BYTE = 1 << 62
#: The bytes that every connection of SQLite holds a shared lock on, and how many they are.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
#: Files that this process owns. To close a file releases all of SQLite's locks on it that the process has, so one that
#: is owned here already is not opened, to see that it is locked, a second time.
_owned: set[Identity] = set()


class FileClaim:
    """The claim to an SQLite store, held until :meth:`release` or the end of the process, however it ends.

    Args:
        path: of the database; made if it is not there. Its folder is.

    Attributes:
        file: the path with all links followed: SQLite's other files are beside that.

    Raises:
        StoreInUse: another process has the claim.
        StoreUnavailable: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self.file = Path(os.path.realpath(path))
        self._wal, self._shm = (self.file.with_name(self.file.name + end) for end in ("-wal", "-shm"))
        self._beside: dict[Path, Identity | None] = {}
        self._lock = PathLock(self.file)
        try:
            self._database = _opened(self.file)
        except BaseException:
            self._lock.release()
            raise
        status = os.fstat(self._database)
        self._identity = status.st_dev, status.st_ino
        _owned.add(self._identity)

    def moved(self) -> str | None:
        """See :class:`app.store.sql.ownership.Claim`."""
        try:
            found = identity(self._path)
            if found != self._identity:
                what = "removed or moved away" if found is None else "replaced by another"
                return (
                    f"the database file was {what} while the service used it; "
                    "put that file back, or restart the service to go on with what is there now"
                )
            log = identity(self._wal)
            if log not in (None, self._beside.get(self._wal, log)) and self._wal.stat().st_size:
                return f"{self._wal.name} was replaced while the service used it; stop the service and remove that file"
        except OSError as error:
            return f"cannot be looked at: {error.strerror}"
        return None

    def take(self, connection: Connection) -> None:
        """See :class:`app.store.sql.ownership.Claim`. The claim is there; the connection's own files are noted.

        Raises:
            StoreUnavailable: the connection leads to another file by now.
        """
        reason = self.moved()
        if reason is not None:
            raise StoreUnavailable(f"{self._path}: {reason}")
        self._beside = {path: identity(path) for path in (self._wal, self._shm)}

    def broken(self) -> str | None:
        """See :class:`app.store.sql.ownership.Claim`. Three looks at the folder, some microseconds."""
        try:
            if identity(self._path) == self._identity and all(
                identity(path) == noted for path, noted in self._beside.items()
            ):
                return None
        except OSError as error:
            return f"cannot be looked at: {error.strerror}"
        return self.moved() or "its write-ahead log was removed while the service used it"

    @contextmanager
    def parting(self, emptied: bool) -> Iterator[None]:
        """See :class:`app.store.sql.ownership.Claim`.

        SQLite's last connection to a file removes the write-ahead log by its name. Another file of that name, beside
        another database, is kept from that: to SQLite, this lock is one more connection. Where the database was moved
        away, SQLite leaves its log: whoever opens the next database of that name would take it for that one's.
        """
        database: Identity | None = self._identity
        there: Identity | None = None
        with suppress(OSError):
            database, there = identity(self._path), identity(self._wal)
        foreign = there is not None and there != self._beside.get(self._wal, there)
        left = emptied and not foreign and database != self._identity
        if foreign:
            set_lock(self._database, fcntl.F_RDLCK, _SHARED_FIRST, _SHARED_SIZE)
        try:
            yield
        finally:
            if foreign:
                set_lock(self._database, fcntl.F_UNLCK, _SHARED_FIRST, _SHARED_SIZE)
            elif left:
                self._wal.unlink(missing_ok=True)
                self._shm.unlink(missing_ok=True)
            if not foreign:
                self._beside = {}

    def release(self) -> None:
        """See :class:`app.store.sql.ownership.Claim`."""
        _owned.discard(self._identity)
        os.close(self._database)
        self._lock.release()


def require_readable(path: Path) -> None:
    """Check that a reader finds all that the owner of a database wrote.

    SQLite keeps what is new in a file beside the database, under the name that the owner knows it by.

    Raises:
        StoreInUse: a process has the file open under another name.
    """
    file = Path(os.path.realpath(path))
    if file.with_name(file.name + ".lock").exists() or identity(file) in _owned:
        return
    try:
        database = os.open(file, os.O_RDONLY)
    except OSError:
        return  # SQLite says it better
    try:
        owned = is_locked(database, _OWNERS_BYTE)
    finally:
        os.close(database)
    if owned:
        raise StoreInUse(f"{path}: a process owns this file under another name; read it by that name")


def _opened(file: Path) -> int:
    """The database file, locked whatever its name."""
    try:
        if identity(file) in _owned:
            raise _in_use(file)
        database = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreUnavailable(f"{file}: cannot be opened: {error.strerror}") from None
    try:
        set_lock(database, fcntl.F_WRLCK, _OWNERS_BYTE, 1)
    except BlockingIOError:
        os.close(database)
        raise _in_use(file) from None
    except OSError:  # a file system without such locks: the path's lock is what there is
        pass
    return database


def _in_use(file: Path) -> StoreInUse:
    return StoreInUse(
        f"{file}: another process owns this store, under another name of the same file; stop it, give this one another "
        "file, or use PostgreSQL or Redis where several processes serve"
    )
