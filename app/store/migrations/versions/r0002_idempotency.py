"""What a transaction was sent with to be recorded once: the digest of its Idempotency-Key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; decisions recorded before have no key."""
    op.add_column("decisions", sa.Column("idempotency_digest", sa.LargeBinary))
    op.create_index("decisions_idempotency_digest", "decisions", ["idempotency_digest"], unique=True)
