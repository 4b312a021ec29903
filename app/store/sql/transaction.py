"""What a transaction of an SQL store reads and writes."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from operator import attrgetter

from sqlalchemy import Connection

from app.store.errors import StillBuilding
from app.store.packing import id_digest
from app.store.records import Decision, LabelEvent, Name, Origin, SavedState, View, Writes
from app.store.sql import tables
from app.store.sql.cases import case_row, is_alert, settled_row
from app.store.sql.rows import Row, as_decision, as_label, decision_row, label_row
from app.store.sql.statements import Lookup, Statements
from models.behaviour.keys import EntityKey

#: Names in the table ``meta``.
ORIGIN, WATERMARK, COMPACTED, SHARED = "origin", "watermark", "folded", "shared"
#: An entity of no profile, and the bytes of each long value, about those of a decision.
_PROOF, _PROOF_BYTES = ("", b"proof"), 1_000


def origin_of(value: str | None) -> Origin | None:
    """What the table ``meta`` has under :data:`ORIGIN`."""
    return None if value is None else Origin(**json.loads(value))


def require_built(origin: Origin | None, name: str) -> None:
    """Check that states may be read and written.

    Args:
        name: of the store.

    Raises:
        StillBuilding: they may not yet.
    """
    if origin is not None and origin.building:
        raise StillBuilding(name)


def last_seq(connection: Connection, sql: Statements) -> int:
    """The last place in the order of arrival that is taken; 0 for an empty log."""
    return connection.exec_driver_sql(sql.last_seq).scalar() or 0


def view(
    connection: Connection,
    sql: Statements,
    names: Sequence[Name],
    keys: Sequence[EntityKey],
    labelled: Sequence[str],
    next_seq: int,
    spec: str | None,
    saved: Mapping[EntityKey, Row] | None = None,
) -> View:
    """What the store holds of these names and entities.

    Args:
        labelled: ids whose latest label is wanted.
        saved: the entities' rows of the table ``states``, where they were read already.
        next_seq: the next free place.
        spec: of the states.
    """
    rows = [*sql.known.rows(connection, [id_digest(name) for name in names if isinstance(name, str)])]
    rows += sql.known_by_key.rows(connection, [name for name in names if isinstance(name, bytes)])
    decisions = map(as_decision, rows)
    asked = set(names)
    labels = [as_label(row) for row in sql.labels.rows(connection, [id_digest(name) for name in labelled])]
    labels.sort(key=attrgetter("seq"))
    found = of_entities(connection, sql.states, keys) if saved is None else saved
    states = {key: SavedState(*row) for key, row in found.items()}
    missing = [key for key in keys if key not in states]
    states |= {key: SavedState(0, row[0]) for key, row in of_entities(connection, sql.base, missing).items()}
    return View(
        known={name: decision for decision in decisions for name in decision.names if name in asked},
        labels={label.transaction_id: label for label in labels},  # the last of several stays
        states=states,
        next_seq=next_seq,
        spec=spec,
    )


def of_entities(connection: Connection, lookup: Lookup, keys: Sequence[EntityKey]) -> dict[EntityKey, Row]:
    """Rows by entity and key, without the key. An equality and a list: both databases use their index for that."""
    grouped: dict[str, list[bytes]] = defaultdict(list)
    for entity, key in keys:
        grouped[entity].append(key)
    return {
        (entity, row[0]): row[1:]
        for entity, wanted in grouped.items()
        for row in lookup.rows(connection, wanted, entity)
    }


def write(connection: Connection, sql: Statements, writes: Writes, saved: Container[EntityKey] | None = None) -> None:
    """All of it; the transaction around it makes it all or nothing.

    Args:
        saved: entities that have a row in ``states``, held by this transaction; None where nobody else writes. Of the
            others another process may have written the first state meanwhile: then this is refused.
    """
    states = [(key, (*key, state.seq, state.content)) for key, state in sorted(writes.states.items())]
    statements = (
        # First, and in their order, so that of two processes with the same new entities one waits for the other.
        (sql.insert_state, [row for key, row in states if saved is not None and key not in saved]),
        (sql.save_state, [row for key, row in states if saved is None or key in saved]),
        (sql.insert_decision, [decision_row(decision) for decision in writes.decisions]),
        (sql.insert_key, [(*key, event.seq) for event in writes.decisions for key in dict.fromkeys(event.keys)]),
        (sql.insert_label, [label_row(label) for label in writes.labels]),
        (sql.settle_case, [settled_row(label) for label in writes.labels if label.label != "disputed"]),
        (sql.open_case, [case_row(decision) for decision in writes.decisions if is_alert(decision)]),
        (sql.set_meta, [] if writes.watermark is None else [(WATERMARK, str(writes.watermark))]),
    )
    for statement, rows in statements:
        if rows:
            connection.exec_driver_sql(statement, rows)


def prove(connection: Connection, sql: Statements, seq: int) -> None:
    """Write a decision with its label and a state, and delete them; the transaction around it makes it durable.

    Args:
        seq: the next free place.
    """
    text = "x" * _PROOF_BYTES
    proof = Decision(seq, None, b"", 0, 0, text, b"", 0.0, 0.0, 0.0, "", "", text.encode(), None, 0, (_PROOF,))
    label = LabelEvent(seq + 1, "", "legitimate", 0, 0, None)
    write(connection, sql, Writes([proof], [label], {_PROOF: SavedState(seq, text.encode())}))
    for table, place in ((tables.decisions, seq), (tables.labels, seq + 1)):
        connection.execute(table.delete().where(table.c.seq == place))
    for table in (tables.decision_keys, tables.states):
        connection.execute(table.delete().where(table.c.entity == _PROOF[0]))
