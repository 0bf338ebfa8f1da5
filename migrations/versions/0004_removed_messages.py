"""How many messages of a channel were removed: their number needs no scan.

Sequences have no gaps, so a channel holds `head - removed` messages.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"

_COUNT_DELETED = """
CREATE OR REPLACE FUNCTION count_deleted_messages() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    -- In the order of the channels' names, as publishing locks them.
    PERFORM 1 FROM channels
    WHERE channel IN (SELECT channel FROM gone) ORDER BY channel FOR UPDATE;
    UPDATE channels AS c SET removed = c.removed + g.messages
    FROM (SELECT channel, count(*) AS messages FROM gone GROUP BY channel) AS g
    WHERE c.channel = g.channel;
    RETURN NULL;
END
$function$
"""
_COUNT_TRUNCATED = """
CREATE OR REPLACE FUNCTION count_truncated_messages() RETURNS trigger
LANGUAGE plpgsql AS $function$
BEGIN
    UPDATE channels SET removed = head;
    RETURN NULL;
END
$function$
"""
# What was removed before anybody counted. A channel whose count changes meanwhile is left as
# it is: its `removed` is compared again when the row is locked.
_COUNT_EARLIER = """
UPDATE channels AS c SET removed = s.head - s.messages
FROM (
    SELECT c.channel, c.head, c.removed, count(m.sequence) AS messages
    FROM channels AS c LEFT JOIN messages AS m ON m.channel = c.channel
    GROUP BY c.channel
) AS s
WHERE c.channel = s.channel AND c.removed = s.removed AND c.removed <> s.head - s.messages
"""


def upgrade() -> None:
    """Add the count; it may be run again after it was interrupted."""
    op.execute(_LOCK_TIMEOUT)
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS removed bigint NOT NULL DEFAULT 0")
    op.execute(_COUNT_DELETED)
    op.execute(_COUNT_TRUNCATED)
    op.execute(
        "CREATE OR REPLACE TRIGGER messages_deleted AFTER DELETE ON messages "
        "REFERENCING OLD TABLE AS gone FOR EACH STATEMENT "
        "EXECUTE FUNCTION count_deleted_messages()"
    )
    op.execute(
        "CREATE OR REPLACE TRIGGER messages_truncated AFTER TRUNCATE ON messages "
        "FOR EACH STATEMENT EXECUTE FUNCTION count_truncated_messages()"
    )
    with op.get_context().autocommit_block():  # publishing goes on while it counts
        op.execute(_COUNT_EARLIER)


def downgrade() -> None:
    """Forget the count."""
    op.execute(_LOCK_TIMEOUT)
    for trigger in ("messages_deleted", "messages_truncated"):
        op.execute(f"DROP TRIGGER {trigger} ON messages")
    for function in ("count_deleted_messages", "count_truncated_messages"):
        op.execute(f"DROP FUNCTION {function}()")
    op.drop_column("channels", "removed")
