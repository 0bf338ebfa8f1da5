"""The function that gives messages their places: one round trip, one commit.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_CREATE = """
CREATE FUNCTION publish_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_usernames text[],
    p_data jsonb[], p_keys text[], p_again boolean
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
            jsonb_object_agg(i.ordinal, jsonb_build_array(m.sequence, m.id, m.created)), '{}'
        )
        INTO v_first
        FROM unnest(p_channels, p_ids, p_client_ids, p_keys)
            WITH ORDINALITY AS i (channel, id, client_id, key, ordinal)
        JOIN messages AS m
            ON m.channel = i.channel AND (
                (m.client_id = i.client_id AND m.idempotency_key = i.key)
                OR (p_again AND m.id = i.id)
            );
    END IF;

    RETURN QUERY
    WITH draft AS MATERIALIZED (
        SELECT *
        FROM unnest(p_channels, p_ids, p_client_ids, p_usernames, p_data, p_keys)
            WITH ORDINALITY AS i (channel, id, client_id, username, data, key, ordinal)
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
        SELECT d.ordinal, d.channel, d.id, d.client_id, d.username, d.data, d.key,
            h.head - b.size
                + row_number() OVER (PARTITION BY d.channel ORDER BY d.ordinal) AS sequence,
            h.last_created AS created
        FROM draft AS d
        JOIN batch AS b ON b.channel = d.channel
        JOIN head AS h ON h.channel = d.channel
    ), stored AS (
        INSERT INTO messages
            (channel, sequence, id, client_id, created, username, data, idempotency_key)
        SELECT p.channel, p.sequence, p.id, p.client_id, p.created, p.username, p.data, p.key
        FROM placed AS p
    )
    SELECT p.ordinal, p.sequence, p.id, p.created FROM placed AS p
    UNION ALL
    SELECT f.key::bigint, (f.value ->> 0)::bigint, (f.value ->> 1)::uuid, (f.value ->> 2)::bigint
    FROM jsonb_each(v_first) AS f;
END
$function$
"""


def upgrade() -> None:
    """Create the function."""
    op.execute(_CREATE)


def downgrade() -> None:
    """Drop the function."""
    op.execute(
        "DROP FUNCTION publish_messages(text[], uuid[], text[], text[], jsonb[], text[], boolean)"
    )
