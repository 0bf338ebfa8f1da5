"""Keys that any value can be indexed by, the indexes that each channel has, the wanted ones.

Runs while processes of the version before serve: no table is rewritten, no lock is held for
long, and what those processes do not know costs them nothing but the upkeep of the indexes.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# The bodies of both are in the order of jsonb: a value that is less never has the greater key.
# Changing what they return makes every index that is built with them wrong.
#
# Of a number with more digits than a publish may send: its first 400, and a 5. So the key is
# not that of any shorter number, and lies where the number does among those.
_KEY_OF_NUMBER = """
CREATE FUNCTION search_key_of_number(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1 AS $function$
DECLARE
    number numeric := value;
    magnitude numeric := abs(number);
    places integer;
BEGIN
    IF magnitude >= '1e400' THEN
        RETURN CASE WHEN number < 0 THEN '-1e400' ELSE '1e400' END;
    END IF;
    IF length(trim('0' FROM translate(number::text, '-.', ''))) <= 400 THEN
        RETURN value;
    END IF;
    places := 400 - CASE
        WHEN magnitude >= 1 THEN length(trunc(magnitude)::text)
        ELSE -length(substring(magnitude::text FROM '^0[.](0*)'))
    END;
    RETURN (trunc(number, places) + sign(number) * ('5e' || -(places + 1))::numeric)::text::jsonb;
END
$function$
"""
# A B-tree takes entries of 2.7 kB, so keys are short. A string of up to 100 characters is its
# own key; of a longer one the key has 101, so that the two are never equal. Planners put the
# expression in the place of the call: that is three times as fast as a call.
_KEY = """
CREATE FUNCTION search_key(value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE jsonb_typeof(value)
    WHEN 'string' THEN CASE
        WHEN length(value #>> '{}') <= 100 THEN value
        ELSE jsonb_object(ARRAY['', left(value #>> '{}', 101)]) -> ''
    END
    WHEN 'number' THEN CASE
        WHEN octet_length(value::text) <= 300 THEN value
        ELSE search_key_of_number(value)
    END
    WHEN 'array' THEN CASE WHEN value = '[]' THEN value ELSE '[null]' END
    WHEN 'object' THEN '{}'
    ELSE value
END
"""
_INDEXES = {
    "messages_client": "(channel, client_id, sequence)",
    "messages_username": "(channel, username, sequence) WHERE username IS NOT NULL",
}


def upgrade() -> None:
    """Make them; it may be run again after it was interrupted."""
    for name in ("search_key", "search_key_of_number"):
        op.execute(f"DROP FUNCTION IF EXISTS {name}(jsonb)")
    op.execute(_KEY_OF_NUMBER)
    op.execute(_KEY)
    op.execute("DROP TABLE IF EXISTS search_shapes")
    op.create_table(
        "search_shapes",
        sa.Column("name", sa.Text(collation="C"), primary_key=True),
        sa.Column("paths", sa.Text(collation="C"), nullable=False),
        sa.Column("uses", sa.Double(), nullable=False, server_default=sa.text("0")),
        sa.Column("seconds", sa.Double(), nullable=False, server_default=sa.text("0")),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("built_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("kept", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )
    with op.get_context().autocommit_block():
        for name, columns in _INDEXES.items():
            # An interrupted build leaves an index that is not valid.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON messages {columns}")


def downgrade() -> None:
    """Drop them, with the indexes that were built by the key."""
    for name in _INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.drop_table("search_shapes")
    op.execute("DROP FUNCTION search_key(jsonb) CASCADE")
    op.execute("DROP FUNCTION search_key_of_number(jsonb)")
