"""The console: cases, who did what, who is signed in."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from app.store.packing import unpack_keys

revision = "0004"
down_revision = "0003"

_ALERTS = sa.text(
    "SELECT seq, packed_keys, score, arrived_at FROM decisions WHERE decision IN ('review', 'decline') "
    "AND NOT EXISTS (SELECT 1 FROM labels WHERE labels.id_digest = decisions.id_digest) ORDER BY seq"
)
_OPEN = sa.text(
    "INSERT INTO cases (id, entity, key, seq, last, hits, score, opened_at, state) "
    "VALUES (:id, :entity, :key, :seq, :last, :hits, :score, :opened_at, 'open')"
)


def upgrade() -> None:
    """What was alerted before and has no label is open."""
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "cases",
        sa.Column("id", seq, primary_key=True, autoincrement=False),
        sa.Column("entity", sa.Text),
        sa.Column("key", sa.LargeBinary),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("hits", sa.Integer, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("opened_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", sa.BigInteger),
        sa.Column("verdict", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", sa.BigInteger),
    )
    op.create_index("cases_of_entity", "cases", ["entity", "key", "id"])
    op.create_index("cases_holder", "cases", ["holder", "held_until"])
    op.create_index("cases_decided_at", "cases", ["decided_at"])
    op.create_index("cases_queue", "cases", ["state", "score", "id", "held_until", "holder"])
    is_open = sa.text("state != 'closed'")
    op.create_index(
        "cases_current", "cases", ["entity", "key"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_table(
        "case_events",
        sa.Column("id", seq, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("case_id", sa.BigInteger),
        sa.Column("subject", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("before", sa.Text),
        sa.Column("undone_by", sa.BigInteger),
    )
    op.create_index("case_events_case", "case_events", ["case_id", "id"])
    op.create_index("case_events_actor", "case_events", ["actor", "id"])
    op.create_table(
        "sessions",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
    )
    op.create_index("sessions_name", "sessions", ["name"])
    if found := _cases():
        op.get_bind().execute(_OPEN, found)


def _cases() -> list[dict[str, Any]]:
    """A case for each card that has alerts, or for each alert of no card."""
    found: dict[object, dict[str, Any]] = {}
    for seq, packed, score, arrived_at in op.get_bind().execute(_ALERTS):
        keys = unpack_keys(packed)
        entity, key = keys[0] if keys else (None, None)
        first = {"id": seq, "entity": entity, "key": key, "hits": 0, "score": -1.0, "opened_at": arrived_at}
        case = found.setdefault(keys[0] if keys else seq, first)
        if score > case["score"]:
            case |= {"seq": seq, "score": score}
        case |= {"last": seq, "hits": case["hits"] + 1}
    return list(found.values())
