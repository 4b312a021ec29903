"""How large an SQL database is on its disk."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection


def size(connection: Connection) -> int:
    """Bytes: of a PostgreSQL database as its server counts them; of SQLite's file and its write-ahead log."""
    if connection.dialect.name == "postgresql":
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
    file = Path(connection.exec_driver_sql("SELECT file FROM pragma_database_list WHERE name = 'main'").scalar_one())
    found = 0
    for path in (file, file.with_name(file.name + "-wal")):
        with suppress(FileNotFoundError):  # SQLite makes and removes its log as needed
            found += path.stat().st_size
    return found
