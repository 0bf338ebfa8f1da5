"""Channel policies, and the version that the rules of publishing are followed by.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "rules",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name="rules_one_row"),
    )
    op.create_table(
        "channel_policies",
        sa.Column("channel", sa.Text(collation="C"), primary_key=True),
        sa.Column("policy", postgresql.JSON(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_index("channel_policies_version", "channel_policies", ["version"])


def downgrade() -> None:
    """Forget every policy."""
    op.drop_table("channel_policies")
    op.drop_table("rules")
