"""The advisory locks of a store on PostgreSQL: one set for each schema of each database."""

from __future__ import annotations

from sqlalchemy import Connection


def _named(what: str) -> str:
    return f"hashtext('{what}'), hashtext(current_schema())"


#: Held by the session of whoever writes: alone by an owner, together by those that share the store.
OWNER = _named("counterfoil")
#: Held by the session of each that begins to share the store, until it does: one makes it ready, the others wait.
ENTRY = _named("counterfoil entry")
#: Held by each transaction that writes: together by those of payments and labels, alone by what must see all of them.
GATE = _named("counterfoil gate")
#: Held by the session of the one purge that there may be.
PURGE = _named("counterfoil purge")
#: Held for as long as it takes to reserve places.
PLACES = _named("counterfoil places")

_THROUGH_THE_GATE = (
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ShareLock' AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = hashtext('counterfoil gate')::oid AND objid = hashtext(current_schema())::oid AND objsubid = 2"
)


def unfinished(connection: Connection) -> frozenset[str] | None:
    """The transactions that are through the gate together, by names that are not used again while the server runs;
    None of a replica, which has other locks than its primary."""
    if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar():
        return None
    return frozenset(connection.exec_driver_sql(_THROUGH_THE_GATE).scalars())
