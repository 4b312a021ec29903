"""Which model version answered from when on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """What was activated before is not known."""
    op.create_table(
        "activations",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("decline", sa.Double),
        sa.Column("by", sa.Text),
        sa.Column("report", sa.Text),
    )
