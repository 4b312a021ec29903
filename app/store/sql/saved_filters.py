"""The filters of the queue that people have saved, in an SQL store: by person and name."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from app.store.sql.tables import meta


def of(connection: Connection, person: str) -> dict[str, str]:
    """A person's filters: query by name, in the order they were saved."""
    found = connection.execute(select(meta.c.value).where(meta.c.name == _name(person))).scalar()
    return {} if found is None else dict(json.loads(found))


def save(connection: Connection, person: str, filters: dict[str, str]) -> None:
    """Replace a person's filters."""
    connection.execute(meta.delete().where(meta.c.name == _name(person)))
    if filters:
        connection.execute(meta.insert().values(name=_name(person), value=json.dumps(filters)))


def _name(person: str) -> str:
    return f"console.filters.{person}"
