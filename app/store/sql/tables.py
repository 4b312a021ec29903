"""The tables of the SQL stores, the same on SQLite and PostgreSQL."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

metadata = MetaData()

#: On SQLite the primary key must be an INTEGER to be the row's own number.
_SEQ = BigInteger().with_variant(Integer(), "sqlite")
#: The longest transaction id, in characters.
LONGEST_ID = 1000

# A transaction is looked up by a digest of its id: 1,000 characters of it need not fit into an index entry of
# PostgreSQL, which ends at 2,704 bytes.
#: The columns, ``id_digest`` left out, stand in the order of Decision's fields; ``body`` comes before the other long
#: ones, so that a replay need not read past it.
decisions = Table(
    "decisions",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("transaction_id", String(LONGEST_ID)),
    Column("digest", LargeBinary, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("features", LargeBinary, nullable=False),
    Column("score", Double, nullable=False),
    Column("error", Double, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("decision", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("caller", Text),
    Column("latency_us", BigInteger, nullable=False),
    Column("packed_keys", LargeBinary, nullable=False),
    Column("id_digest", LargeBinary),
    Column("idempotency_digest", LargeBinary),
    Index("decisions_id_digest", "id_digest", unique=True),
    Index("decisions_idempotency_digest", "idempotency_digest", unique=True),
    # All that a page of decisions is chosen by, in its order: narrow, so that a million are looked through at once.
    Index("decisions_listed", "seq", "arrived_at", "score", "threshold", "decision", "model_version", "caller"),
    Index("decisions_time", "time"),
    Index("decisions_arrived_at", "arrived_at", "seq"),
)

decision_keys = Table(
    "decision_keys",
    metadata,
    Column("entity", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("entity", "key", "seq"),
    sqlite_with_rowid=False,
)

#: The columns up to ``change`` stand in the order of LabelEvent's fields.
labels = Table(
    "labels",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=False),
    Column("transaction_id", String(LONGEST_ID), nullable=False),
    Column("label", Text, nullable=False),
    Column("known_at", BigInteger, nullable=False),
    Column("arrived_at", BigInteger, nullable=False),
    Column("caller", Text),
    Column("change", Integer, nullable=False),
    Column("id_digest", LargeBinary, nullable=False),
    Index("labels_id_digest", "id_digest", "seq"),
)

states = Table(
    "states",
    metadata,
    Column("entity", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("entity", "key"),
)

base_states = Table(
    "base_states",
    metadata,
    Column("entity", Text, nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("content", LargeBinary, nullable=False),
    PrimaryKeyConstraint("entity", "key"),
)

#: The columns stand in the order of Activation's fields.
activations = Table(
    "activations",
    metadata,
    Column("number", _SEQ, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("before", Text),
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("threshold", Double, nullable=False),
    Column("decline", Double),
    Column("by", Text),
    Column("report", Text),
)

#: What analysts work through: the alerts of one card, from its first until somebody decides. ``id`` is the first
#: alert's place in the log, ``seq`` that of the highest, ``last`` that of the latest.
cases = Table(
    "cases",
    metadata,
    Column("id", _SEQ, primary_key=True, autoincrement=False),
    Column("entity", Text),
    Column("key", LargeBinary),
    Column("seq", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("score", Double, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("until", BigInteger),
    Column("holder", Text),
    Column("held_until", BigInteger),
    Column("verdict", Text),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Index("cases_of_entity", "entity", "key", "id"),
    Index("cases_holder", "holder", "held_until"),
    Index("cases_decided_at", "decided_at"),
)
#: In the order of the queue; all that says who may take a case, so that held ones are passed over within the index.
cases_queue = Index("cases_queue", cases.c.state, cases.c.score, cases.c.id, cases.c.held_until, cases.c.holder)
#: One case of a card at a time.
cases_current = Index(
    "cases_current",
    cases.c.entity,
    cases.c.key,
    unique=True,
    sqlite_where=cases.c.state != "closed",
    postgresql_where=cases.c.state != "closed",
)

#: Who did what in the console, notes among it. The columns stand in the order of Event's fields.
case_events = Table(
    "case_events",
    metadata,
    Column("id", _SEQ, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("case_id", BigInteger),
    Column("subject", Text),
    Column("text", Text),
    Column("before", Text),
    Column("undone_by", BigInteger),
    Index("case_events_case", "case_id", "id"),
    Index("case_events_actor", "actor", "id"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("sessions_name", "name"),
)

#: The columns stand in the order of ListChange's fields.
list_changes = Table(
    "list_changes",
    metadata,
    Column("number", _SEQ, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("column", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("until", BigInteger),
    Column("by", Text),
    Column("note", Text, nullable=False),
)

#: The columns stand in the order of KeptRules' fields.
kept_rules = Table(
    "kept_rules",
    metadata,
    Column("version", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
)

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
