"""Idempotency-Keys, and an index to list decisions by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Decisions recorded before have no key."""
    op.add_column("decisions", sa.Column("idempotency_digest", sa.LargeBinary))
    op.create_index("decisions_idempotency_digest", "decisions", ["idempotency_digest"], unique=True)
    listed = ["seq", "arrived_at", "score", "threshold", "decision", "model_version", "caller"]
    op.create_index("decisions_listed", "decisions", listed)
    op.drop_index("decisions_arrived_at", "decisions")
    op.create_index("decisions_arrived_at", "decisions", ["arrived_at", "seq"])
