"""The log of decisions and labels, the states and the base."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create everything. Written out, not taken from ``tables``: a revision stays as it was."""
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "decisions",
        sa.Column("seq", seq, primary_key=True, autoincrement=False),
        sa.Column("transaction_id", sa.String(1000)),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        sa.Column("arrived_at", sa.BigInteger, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("features", sa.LargeBinary, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("error", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("reply", sa.LargeBinary, nullable=False),
        sa.Column("caller", sa.Text),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sa.Column("packed_keys", sa.LargeBinary, nullable=False),
        sa.Column("id_digest", sa.LargeBinary),
    )
    op.create_index("decisions_id_digest", "decisions", ["id_digest"], unique=True)
    op.create_index("decisions_time", "decisions", ["time"])
    op.create_index("decisions_arrived_at", "decisions", ["arrived_at"])
    op.create_table(
        "decision_keys",
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("entity", "key", "seq"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "labels",
        sa.Column("seq", seq, primary_key=True, autoincrement=False),
        sa.Column("transaction_id", sa.String(1000), nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("known_at", sa.BigInteger, nullable=False),
        sa.Column("arrived_at", sa.BigInteger, nullable=False),
        sa.Column("caller", sa.Text),
        sa.Column("change", sa.Integer, nullable=False),
        sa.Column("id_digest", sa.LargeBinary, nullable=False),
    )
    op.create_index("labels_id_digest", "labels", ["id_digest", "seq"])
    op.create_table(
        "states",
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("entity", "key"),
    )
    op.create_table(
        "base_states",
        sa.Column("entity", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("entity", "key"),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
