"""Messages and their channels; processes and the connections they hold.

Revision ID: 0001
Revises: -
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "channels",
        sa.Column("channel", sa.Text(collation="C"), primary_key=True),
        sa.Column("head", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("last_created", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    )
    op.create_table(
        "messages",
        sa.Column("channel", sa.Text(collation="C"), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("client_id", sa.Text(collation="C"), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("username", sa.Text(collation="C"), nullable=True),
        sa.Column("data", postgresql.JSONB(), nullable=False),
        sa.Column("idempotency_key", sa.Text(collation="C"), nullable=True),
    )
    op.create_index("messages_id", "messages", ["channel", "id"], unique=True)
    op.create_index(
        "messages_idempotency",
        "messages",
        ["channel", "client_id", "idempotency_key"],
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_table(
        "processes",
        sa.Column("process_id", sa.UUID(), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "presence",
        sa.Column("channel", sa.Text(collation="C"), primary_key=True),
        sa.Column("process_id", sa.UUID(), primary_key=True),
        sa.Column("connections", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """Drop the tables, with all that is in them."""
    for table in ("presence", "processes", "messages", "channels"):
        op.drop_table(table)
