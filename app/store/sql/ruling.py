"""Lists and rules in an SQL store: changed now and then by people, read when a service starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from app.store.records import KeptRules, ListChange
from app.store.sql.tables import kept_rules, list_changes


def change(connection: Connection, changes: Sequence[ListChange]) -> bool:
    """See :meth:`app.store.contract.Store.change_lists`. The store has one owner: nobody writes in between."""
    last = connection.execute(select(func.max(list_changes.c.number))).scalar() or 0
    if changes[0].number != last + 1:
        return False
    columns = list_changes.c.keys()
    connection.execute(list_changes.insert(), [dict(zip(columns, astuple(one), strict=True)) for one in changes])
    return True


def changes_after(connection: Connection, after: int) -> list[ListChange]:
    """See :meth:`app.store.contract.Store.list_changes`."""
    number = list_changes.c.number
    rows = connection.execute(select(list_changes).where(number > after).order_by(number))
    return [ListChange(*row) for row in rows]


def keep(connection: Connection, rules: KeptRules) -> None:
    """See :meth:`app.store.contract.Store.keep_rules`."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(kept_rules).values(version=rules.version, at=rules.at, text=rules.text)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["version"], set_={"at": statement.excluded["at"]})
    )


def kept(connection: Connection) -> list[KeptRules]:
    """See :meth:`app.store.contract.Store.kept_rules`."""
    return [KeptRules(*row) for row in connection.execute(select(kept_rules).order_by(kept_rules.c.at))]
