"""Idempotency keys belong to publishers, not to whoever claims a client id.

Runs while processes of the version before serve: no table is rewritten, no lock is held for
long, there is a unique index at every moment, and what those processes call stays.

Revision ID: 0003
Revises: 0002
"""

from types import ModuleType

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"
"""A table's lock that is waited for stops everybody who comes later."""

_CREATE = """
CREATE OR REPLACE FUNCTION publish_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_publishers text[],
    p_usernames text[], p_data jsonb[], p_keys text[], p_again boolean
)
RETURNS TABLE (ordinal bigint, sequence bigint, id uuid, created bigint)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    v_first jsonb := '{}';
BEGIN
    -- Locks are always taken in the order of the channels' names, so two batches never
    -- wait for each other in a circle. While a channel's row is locked nobody else gives
    -- out its sequences, and it is unlocked by the commit: sequence order is commit order.
    IF p_again OR array_remove(p_keys, NULL) <> '{}' THEN
        INSERT INTO channels AS c (channel)
        SELECT DISTINCT i.channel FROM unnest(p_channels) AS i (channel) ORDER BY 1
        ON CONFLICT (channel) DO UPDATE SET head = c.head;
        -- A statement of its own: its snapshot, taken after the locks, sees all that
        -- whoever held them before has committed.
        SELECT coalesce(
            jsonb_object_agg(i.ordinal, jsonb_build_array(f.sequence, f.id, f.created)), '{}'
        )
        INTO v_first
        FROM unnest(p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_keys)
            WITH ORDINALITY AS i (channel, id, client_id, publisher, username, key, ordinal)
        CROSS JOIN LATERAL (
            SELECT m.sequence, m.id, m.created FROM messages AS m
            WHERE m.channel = i.channel AND m.idempotency_key = i.key
                AND coalesce(m.publisher, 'client:' || m.client_id)
                    = coalesce(i.publisher, 'client:' || i.client_id)
            UNION ALL
            -- Stored before publishers were, by whoever the same token names: the retry of a
            -- publish that was under way during the upgrade. Only a token gives a username.
            SELECT m.sequence, m.id, m.created FROM messages AS m
            WHERE m.channel = i.channel AND m.idempotency_key = i.key
                AND coalesce(m.publisher, 'client:' || m.client_id) = 'client:' || i.client_id
                AND i.publisher LIKE 'sub:%' AND m.username = i.username
            UNION ALL
            SELECT m.sequence, m.id, m.created FROM messages AS m
            WHERE p_again AND m.channel = i.channel AND m.id = i.id
            LIMIT 1
        ) AS f;
    END IF;

    RETURN QUERY
    WITH draft AS MATERIALIZED (
        SELECT *
        FROM unnest(
            p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_data, p_keys
        ) WITH ORDINALITY
            AS i (channel, id, client_id, publisher, username, data, key, ordinal)
        WHERE NOT v_first ? i.ordinal::text
    ), batch AS (
        SELECT d.channel, count(*) AS size FROM draft AS d GROUP BY d.channel
    ), head AS (
        INSERT INTO channels AS c (channel, head, last_created)
        SELECT b.channel, b.size, floor(extract(epoch FROM clock_timestamp()) * 1000)
        FROM batch AS b ORDER BY b.channel
        ON CONFLICT (channel) DO UPDATE
        SET head = c.head + excluded.head,
            last_created = greatest(c.last_created, excluded.last_created)
        RETURNING c.channel, c.head, c.last_created
    ), placed AS (
        SELECT d.ordinal, d.channel, d.id, d.client_id, d.publisher, d.username, d.data, d.key,
            h.head - b.size
                + row_number() OVER (PARTITION BY d.channel ORDER BY d.ordinal) AS sequence,
            h.last_created AS created
        FROM draft AS d
        JOIN batch AS b ON b.channel = d.channel
        JOIN head AS h ON h.channel = d.channel
    ), stored AS (
        INSERT INTO messages
            (channel, sequence, id, client_id, created, username, data, idempotency_key, publisher)
        SELECT p.channel, p.sequence, p.id, p.client_id, p.created, p.username, p.data, p.key,
            p.publisher
        FROM placed AS p
    )
    SELECT p.ordinal, p.sequence, p.id, p.created FROM placed AS p
    UNION ALL
    SELECT f.key::bigint, (f.value ->> 0)::bigint, (f.value ->> 1)::uuid, (f.value ->> 2)::bigint
    FROM jsonb_each(v_first) AS f;
END
$function$
"""

# Processes of the version before call this one until they are gone. Their publishers are
# unknown, so their keys belong to the client ids that are claimed, as they always did.
_AS_BEFORE = """
CREATE OR REPLACE FUNCTION publish_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_usernames text[],
    p_data jsonb[], p_keys text[], p_again boolean
)
RETURNS TABLE (ordinal bigint, sequence bigint, id uuid, created bigint)
LANGUAGE sql AS $function$
    SELECT * FROM publish_messages(
        p_channels, p_ids, p_client_ids,
        array_fill(NULL::text, ARRAY[cardinality(p_channels)]),
        p_usernames, p_data, p_keys, p_again
    )
$function$
"""


def upgrade() -> None:
    """Add the publisher; it may be run again after it was interrupted."""
    op.execute(_LOCK_TIMEOUT)
    op.execute('ALTER TABLE messages ADD COLUMN IF NOT EXISTS publisher text COLLATE "C"')
    with op.get_context().autocommit_block():
        # An interrupted build leaves an index that is not valid.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS messages_repeat")
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY messages_repeat ON messages "
            "(channel, coalesce(publisher, 'client:' || client_id), idempotency_key) "
            "WHERE idempotency_key IS NOT NULL"
        )
    op.execute(_CREATE)
    op.execute(_AS_BEFORE)
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS messages_idempotency")


def downgrade() -> None:
    """Give the keys back to the client ids; fails where two publishers used one alike."""
    op.execute(_LOCK_TIMEOUT)
    op.create_index(
        "messages_idempotency",
        "messages",
        ["channel", "client_id", "idempotency_key"],
        unique=True,
        postgresql_where="idempotency_key IS NOT NULL",
    )
    for signature in (
        "text[], uuid[], text[], text[], text[], jsonb[], text[], boolean",
        "text[], uuid[], text[], text[], jsonb[], text[], boolean",
    ):
        op.execute(f"DROP FUNCTION publish_messages({signature})")
    _before().upgrade()
    op.drop_index("messages_repeat", "messages")
    op.drop_column("messages", "publisher")


def _before() -> ModuleType:
    script = op.get_context().script
    assert script is not None, "revisions run within a script directory"
    revision_before = script.get_revision(down_revision)
    assert revision_before is not None
    return revision_before.module
