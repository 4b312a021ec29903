"""Compacting and erasing in an SQL store, down to its files."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Engine, Table, bindparam, delete, select

from app.store.errors import StoreUnavailable
from app.store.packing import id_digest
from app.store.records import Decision
from app.store.sql import cases, tables
from app.store.sql.engines import wait_for
from app.store.sql.failures import guard
from app.store.sql.rows import as_label
from app.store.sql.statements import Statements
from app.store.sql.tables import base_states, case_events, decision_keys, decisions, labels, states
from app.store.sql.transaction import COMPACTED
from models.behaviour.keys import EntityKey

#: What VACUUM goes over.
_ERASED_FROM = (decisions, decision_keys, labels, states, base_states, tables.cases, case_events)


def compact(connection: Connection, sql: Statements, base: Mapping[EntityKey, bytes], compacted: int) -> None:
    """See :meth:`app.store.contract.Store.compact`."""
    _zero_what_is_freed(connection)
    if base:
        connection.exec_driver_sql(sql.save_base, [(*key, content) for key, content in base.items()])
    connection.exec_driver_sql(sql.set_meta, [(COMPACTED, str(compacted))])


def erase(connection: Connection, some: Sequence[Decision], entities: Sequence[EntityKey]) -> None:
    """See :meth:`app.store.contract.Store.erase`."""
    _zero_what_is_freed(connection)
    _delete(connection, decisions, ("seq",), [(one.seq,) for one in some])
    keys = [(*key, one.seq) for one in some for key in dict.fromkeys(one.keys)]
    _delete(connection, decision_keys, ("entity", "key", "seq"), keys)
    ids = [(id_digest(one.transaction_id),) for one in some if one.transaction_id is not None]
    _delete(connection, labels, ("id_digest",), ids)
    cases.forget(connection, [one.seq for one in some], entities)
    for table in (states, base_states):
        _delete(connection, table, ("entity", "key"), entities)


def unchanged(connection: Connection, sql: Statements, some: Sequence[Decision], compacted: int) -> list[Decision]:
    """Those that are there and have no label after a place: another process may have erased or labelled them."""
    there = {row[0] for row in sql.by_seq.rows(connection, [one.seq for one in some])}
    ids = [id_digest(one.transaction_id) for one in some if one.transaction_id is not None]
    later = {label.transaction_id for label in map(as_label, sql.labels.rows(connection, ids)) if label.seq > compacted}
    return [one for one in some if one.seq in there and one.transaction_id not in later]


def without_decisions(connection: Connection, entities: Sequence[EntityKey]) -> list[EntityKey]:
    """Those of which no decision is left."""
    of = decision_keys.c
    return [
        (entity, key)
        for entity, key in entities
        if connection.execute(select(of.seq).where(of.entity == entity, of.key == key).limit(1)).first() is None
    ]


def _delete(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[str | bytes | int, ...]]
) -> None:
    if rows:
        statement = delete(table).where(*(table.c[name] == bindparam(f"of_{name}") for name in columns))
        connection.execute(
            statement, [{f"of_{n}": value for n, value in zip(columns, row, strict=True)} for row in rows]
        )


def _zero_what_is_freed(connection: Connection) -> None:
    """SQLite leaves freed bytes as they are unless it is told; once told, this connection keeps to it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete=ON")


def scrub(engine: Engine, name: str) -> bool:
    """See :meth:`app.store.contract.Store.scrub`. On a connection of its own, beside the one that writes."""
    if engine.dialect.name == "sqlite":
        return _emptied_log(engine, name)

    def vacuum() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            wait_for(connection, None)
            for table in _ERASED_FROM:
                connection.exec_driver_sql(f"VACUUM {table.name}")
            connection.invalidate()  # a reader would wait for as long

    guard(name, vacuum)
    return True


def _emptied_log(engine: Engine, name: str) -> bool:
    """Bring all of the write-ahead log into the file and cut it to nothing; not while somebody reads an older state."""
    connection = guard(name, engine.raw_connection)
    try:
        busy, *_ = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{name}: {error}") from None
    finally:
        connection.close()
    return not busy
