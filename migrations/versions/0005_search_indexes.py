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

# It is in the order of jsonb: of two values, the lesser one never has the greater key. Changing
# what it returns makes every index that is built with it wrong.
#
# A B-tree takes entries of 2.7 kB, so keys are short. A string of up to 100 characters is its
# own key; of a longer one the key has 101, so that the two are never equal. Of a number with
# more digits than a publish may send, the key is its first 400 and a 5: it is no shorter
# number's, and lies where the number does among those.
#
# PL/pgSQL, for planners would put an SQL function's body in the place of each call, and take
# four times as long over it. It names no other function of ours: an index is built with none
# of our schemas in the search path.
_KEY = """
CREATE FUNCTION search_key(value jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 2 AS $function$
DECLARE
    number numeric;
    magnitude numeric;
    places integer;
BEGIN
    CASE jsonb_typeof(value)
        WHEN 'string' THEN
            IF length(value #>> '{}') <= 100 THEN
                RETURN value;
            END IF;
            RETURN jsonb_object(ARRAY['', left(value #>> '{}', 101)]) -> '';
        WHEN 'number' THEN
            IF octet_length(value::text) <= 300 THEN
                RETURN value;
            END IF;
            number := value;
            magnitude := abs(number);
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
            number := trunc(number, places) + sign(number) * ('5e' || -(places + 1))::numeric;
            RETURN number::text::jsonb;
        WHEN 'array' THEN
            RETURN CASE WHEN value = '[]' THEN value ELSE '[null]' END;
        WHEN 'object' THEN
            RETURN '{}';
        ELSE
            RETURN value;
    END CASE;
END
$function$
"""
_INDEXES = {
    "messages_client": "(channel, client_id, sequence)",
    "messages_username": "(channel, username, sequence) WHERE username IS NOT NULL",
}


def upgrade() -> None:
    """Make them; it may be run again after it was interrupted."""
    op.execute("DROP FUNCTION IF EXISTS search_key(jsonb)")
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
