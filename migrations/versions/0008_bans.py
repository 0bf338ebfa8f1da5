"""Bans: whom a project has muted, shadowed or sent away, until when and why.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "bans",
        sa.Column("project_id", sa.Text(collation="C"), primary_key=True),
        sa.Column("kind", sa.Text(collation="C"), primary_key=True),
        sa.Column("name", sa.Text(collation="C"), primary_key=True),
        sa.Column("id", postgresql.UUID(), nullable=False),
        sa.Column("mode", sa.Text(collation="C"), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(collation="C"), nullable=True),
        sa.Column("gone_at", sa.BigInteger(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_index("bans_version", "bans", ["version"])
    op.create_index("bans_until", "bans", ["until"], postgresql_where=sa.text("gone_at IS NULL"))
    op.create_index(
        "bans_gone", "bans", ["gone_at"], postgresql_where=sa.text("gone_at IS NOT NULL")
    )


def downgrade() -> None:
    """Forget every ban."""
    op.drop_table("bans")
