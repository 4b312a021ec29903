"""The SQL of the stores, compiled once per dialect from the tables.

A payment waits for these statements. Handing SQLAlchemy finished text costs a fifth of handing it expressions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Executable,
    Select,
    Table,
    cast,
    func,
    insert,
    literal_column,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite

from app.store.sql.cases import opened, settled
from app.store.sql.tables import base_states, decision_keys, decisions, labels, meta, states

_MOST = 256
#: Columns in the order of the fields of Decision and LabelEvent.
_DECISION = [column for column in decisions.c if column.name != "id_digest"]
_LABEL = [column for column in labels.c if column.name != "id_digest"]


def compiled(dialect: Dialect, statement: Executable) -> str:
    """Text with the driver's own placeholders; the values in the statement only mark their places."""
    return str(statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True}))  # type: ignore[attr-defined]


class Lookup:
    """``column IN (…)`` for any number of values. Few different texts, so that drivers can keep them prepared."""

    def __init__(self, dialect: Dialect, statement: Select[Any], column: ColumnElement[Any], marker: object) -> None:
        self._dialect, self._statement, self._column, self._marker = dialect, statement, column, marker
        self._texts: dict[int, str] = {}

    def rows(self, connection: Connection, values: Sequence[Any], *before: Any) -> Iterator[Sequence[Any]]:
        """The rows of these values, in no order.

        Args:
            before: parameters of the statement that come first.
        """
        for start in range(0, len(values), _MOST):
            part = values[start : start + _MOST]
            size = 1 << (len(part) - 1).bit_length()
            if size not in self._texts:
                statement = self._statement.where(self._column.in_([self._marker] * size))
                self._texts[size] = compiled(self._dialect, statement)
            padding = [part[-1]] * (size - len(part))
            yield from connection.exec_driver_sql(self._texts[size], (*before, *part, *padding)).all()


class Statements:
    """All of them, for one dialect."""

    def __init__(self, dialect: Dialect) -> None:
        def text(statement: Executable) -> str:
            return compiled(dialect, statement)

        def page(statement: Select[Any], column: ColumnElement[int]) -> str:
            """Parameters: those of the statement, after, up to, most rows, 0."""
            return text(statement.where(column > 0, column <= 0).order_by(column).limit(1).offset(0))

        self.insert_decision = text(insert(decisions))
        self.insert_key = text(insert(decision_keys))
        self.insert_label = text(insert(labels))
        self.insert_base = text(insert(base_states))
        self.save_base = text(_upsert(dialect, base_states, ("entity", "key"), ("content",)))
        self.insert_state = text(insert(states))
        self.save_state = text(_upsert(dialect, states, ("entity", "key"), ("seq", "content")))
        self.set_meta = text(_upsert(dialect, meta, ("name",), ("value",)))
        self.open_case = text(opened(dialect))
        self.settle_case = text(settled())
        self.get_meta = text(select(meta.c.value).where(meta.c.name == ""))
        # A place that was erased is compacted, and stays taken.
        compacted = select(cast(meta.c.value, BigInteger)).where(meta.c.name == literal_column("'folded'"))
        last = union_all(
            select(func.max(decisions.c.seq).label("seq")), select(func.max(labels.c.seq)), compacted
        ).subquery()
        self.last_seq = text(select(func.max(last.c.seq)))

        saved = select(states.c.key, states.c.seq, states.c.content).where(states.c.entity == "")
        base = select(base_states.c.key, base_states.c.content).where(base_states.c.entity == "")
        self.known = Lookup(dialect, select(*_DECISION), decisions.c.id_digest, b"")
        self.known_by_key = Lookup(dialect, select(*_DECISION), decisions.c.idempotency_digest, b"")
        self.by_seq = Lookup(dialect, select(*_DECISION), decisions.c.seq, 0)
        self.labels_by_seq = Lookup(dialect, select(labels.c.seq), labels.c.seq, 0)
        self.labels = Lookup(dialect, select(*_LABEL), labels.c.id_digest, b"")
        self.states = Lookup(dialect, saved, states.c.key, b"")
        # Of several processes that share a store, one at a time: each waits for the others in the order of the keys.
        # (SQLite knows no such lock, and SQLAlchemy leaves it out there.)
        self.held_states = Lookup(
            dialect, saved.order_by(states.c.key).with_for_update(key_share=True), states.c.key, b""
        )
        self.held_decisions = Lookup(
            dialect,
            select(decisions.c.seq).order_by(decisions.c.id_digest).with_for_update(key_share=True),
            decisions.c.id_digest,
            b"",
        )
        self.base = Lookup(dialect, base, base_states.c.key, b"")

        self.decision_page = page(select(*_DECISION), decisions.c.seq)
        self.label_page = page(select(*_LABEL), labels.c.seq)
        self.column_page = page(
            select(decisions.c.seq, decisions.c.transaction_id, decisions.c.time, decisions.c.body), decisions.c.seq
        )
        of_key = (decision_keys.c.entity == "", decision_keys.c.key == b"")
        self.seq_page_of_key = page(select(decision_keys.c.seq).where(*of_key), decision_keys.c.seq)
        ids = (
            select(decisions.c.id_digest)
            .join(decision_keys, decision_keys.c.seq == decisions.c.seq)
            .where(*of_key, decisions.c.id_digest.is_not(None))
        )
        self.label_page_of_key = page(select(*_LABEL).where(labels.c.id_digest.in_(ids)), labels.c.seq)


def _upsert(dialect: Dialect, table: Table, key: Sequence[str], replaced: Sequence[str]) -> Executable:
    statement = (postgresql.insert if dialect.name == "postgresql" else sqlite.insert)(table)
    values: Mapping[str, Any] = {name: statement.excluded[name] for name in replaced}
    return statement.on_conflict_do_update(index_elements=list(key), set_=dict(values))
