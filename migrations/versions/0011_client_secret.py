"""A place for the secret that client ids are signed with, where no setting gives one.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table of one row at the most; the first process that needs a secret makes it."""
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS client_secret (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            secret text COLLATE "C" NOT NULL
        )
        """
    )


def downgrade() -> None:
    """Remove it: client tokens signed with it are no longer good."""
    op.drop_table("client_secret")
