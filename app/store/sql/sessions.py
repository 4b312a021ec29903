"""Who is signed in to the console, in an SQL store: hashes of tokens, never the tokens."""

from __future__ import annotations

from sqlalchemy import Connection, select

from app.store.sql.tables import sessions


def begin(connection: Connection, digest: bytes, name: str, now: int, expires_at: int) -> None:
    """Sign somebody in; forget the sessions that are over."""
    connection.execute(sessions.delete().where(sessions.c.expires_at <= now))
    connection.execute(sessions.insert().values(digest=digest, name=name, expires_at=expires_at))


def find(connection: Connection, digest: bytes, now: int) -> tuple[str, int] | None:
    """Whose session it is, and its end; None where there is none, or it is over."""
    statement = select(sessions.c.name, sessions.c.expires_at)
    row = connection.execute(statement.where(sessions.c.digest == digest, sessions.c.expires_at > now)).first()
    return None if row is None else (row[0], row[1])


def end(connection: Connection, digest: bytes) -> None:
    """Sign somebody out."""
    connection.execute(sessions.delete().where(sessions.c.digest == digest))


def end_all(connection: Connection, name: str, but: bytes = b"") -> None:
    """Sign somebody out everywhere else."""
    connection.execute(sessions.delete().where(sessions.c.name == name, sessions.c.digest != but))
