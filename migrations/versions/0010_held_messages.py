"""Held messages: they wait for a moderator, and have no place in the channel's order until then.

They stand in a table of their own, so that no search, replay, result or count need know of them.

Revision ID: 0010
Revises: 0008
"""

from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"

_TABLE = (
    """
CREATE TABLE IF NOT EXISTS held_messages (
    channel text COLLATE "C" NOT NULL,
    id uuid NOT NULL,
    arrival bigint NOT NULL,
    client_id text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    username text COLLATE "C",
    data jsonb NOT NULL,
    publisher text COLLATE "C",
    idempotency_key text COLLATE "C",
    retraction_id uuid,
    PRIMARY KEY (channel, id)
)
""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS held_messages_arrival ON held_messages (channel, arrival)
""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS held_messages_repeat ON held_messages (
    channel, (coalesce(publisher, 'client:' || client_id)), idempotency_key
) WHERE idempotency_key IS NOT NULL
""",
)

# `outcome` is one of
#   held   it waits: `id` is its own, the columns of a message are NULL but for `created`
#   known  the publisher's message under the key is returned, published (`sequence`) or held
#   spent  a moderator has retracted what was published under the key
#   full   `p_most` messages of the channel wait already
_HOLD = """
CREATE OR REPLACE FUNCTION hold_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_publishers text[],
    p_usernames text[], p_data jsonb[], p_keys text[], p_again boolean,
    p_retraction_ids uuid[], p_most bigint
)
RETURNS TABLE (
    ordinal bigint, outcome text, sequence bigint, id uuid, client_id text, created bigint,
    username text, data jsonb, publisher text
)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    v_known jsonb := '{}';
    v_replacing bigint[] := '{}';
BEGIN
    -- In the order of the names, as publishing locks them: so the order of arrival is that of the
    -- commits, and what is published under a key meanwhile is found.
    INSERT INTO channels AS c (channel)
    SELECT DISTINCT i.channel COLLATE "C" FROM unnest(p_channels) AS i (channel) ORDER BY 1
    ON CONFLICT (channel) DO UPDATE SET head = c.head;

    IF p_again OR array_remove(p_keys, NULL) <> '{}' THEN
        SELECT coalesce(jsonb_object_agg(i.ordinal, to_jsonb(f)), '{}') INTO v_known
        FROM unnest(p_channels, p_ids, p_client_ids, p_publishers, p_keys, p_retraction_ids)
            WITH ORDINALITY AS i (channel, id, client_id, publisher, key, retraction_id, ordinal)
        CROSS JOIN LATERAL (
            -- An earlier try was committed; a moderator may have been quick since.
            SELECT 'held' AS outcome, NULL::bigint AS sequence, h.id, NULL AS client_id, h.created,
                NULL AS username, NULL::jsonb AS data, NULL AS publisher
            FROM held_messages AS h WHERE p_again AND h.channel = i.channel AND h.id = i.id
            UNION ALL
            SELECT 'known', m.sequence, m.id, m.client_id, m.created, m.username, m.data,
                m.publisher
            FROM messages AS m WHERE p_again AND m.channel = i.channel AND m.id = i.id
            UNION ALL
            SELECT 'spent', NULL, NULL, NULL, NULL, NULL, NULL, NULL
            FROM retracted_messages AS r
            WHERE r.channel = i.channel AND r.idempotency_key = i.key
                AND r.key_owner = coalesce(i.publisher, 'client:' || i.client_id)
            UNION ALL
            SELECT 'known', m.sequence, m.id, m.client_id, m.created, m.username, m.data,
                m.publisher
            FROM messages AS m
            WHERE i.retraction_id IS NULL AND m.channel = i.channel AND m.idempotency_key = i.key
                AND coalesce(m.publisher, 'client:' || m.client_id)
                    = coalesce(i.publisher, 'client:' || i.client_id)
            UNION ALL
            SELECT 'known', NULL, h.id, h.client_id, h.created, h.username, h.data, h.publisher
            FROM held_messages AS h
            WHERE i.retraction_id IS NULL AND h.channel = i.channel AND h.idempotency_key = i.key
                AND coalesce(h.publisher, 'client:' || h.client_id)
                    = coalesce(i.publisher, 'client:' || i.client_id)
            LIMIT 1
        ) AS f;
        -- What replaces a held message arrives anew, under an id of its own: whoever approves
        -- approves what they have seen.
        WITH gone AS (
            DELETE FROM held_messages AS h
            USING unnest(p_channels, p_client_ids, p_publishers, p_keys, p_retraction_ids)
                WITH ORDINALITY AS i (channel, client_id, publisher, key, retraction_id, ordinal)
            WHERE i.retraction_id IS NOT NULL AND NOT v_known ? i.ordinal::text
                AND h.channel = i.channel AND h.idempotency_key = i.key
                AND coalesce(h.publisher, 'client:' || h.client_id)
                    = coalesce(i.publisher, 'client:' || i.client_id)
            RETURNING i.ordinal
        )
        SELECT coalesce(array_agg(g.ordinal), '{}') INTO v_replacing FROM gone AS g;
    END IF;

    RETURN QUERY
    WITH draft AS MATERIALIZED (
        SELECT i.*, i.ordinal = ANY (v_replacing) AS replaces
        FROM unnest(
            p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_data, p_keys,
            p_retraction_ids
        ) WITH ORDINALITY AS i (
            channel, id, client_id, publisher, username, data, key, retraction_id, ordinal
        )
        WHERE NOT v_known ? i.ordinal::text
    ), batch AS (
        SELECT d.channel, count(*) AS drafts FROM draft AS d GROUP BY d.channel
    ), room AS MATERIALIZED (
        -- Those who wait are counted only where they may be too many.
        SELECT b.channel, CASE
            WHEN c.arrivals + b.drafts < p_most + (
                SELECT h.arrival FROM held_messages AS h WHERE h.channel = b.channel
                ORDER BY h.arrival LIMIT 1
            ) THEN 0
            ELSE (SELECT count(*) FROM held_messages AS h WHERE h.channel = b.channel)
        END AS waiting
        FROM batch AS b JOIN channels AS c ON c.channel = b.channel
    ), numbered AS (
        SELECT d.*, r.waiting + count(*) FILTER (WHERE NOT d.replaces)
            OVER (PARTITION BY d.channel ORDER BY d.ordinal) AS waiting
        FROM draft AS d JOIN room AS r ON r.channel = d.channel
    ), accepted AS (
        -- What replaces one takes its room, however many there are.
        SELECT n.*, row_number() OVER (PARTITION BY n.channel ORDER BY n.ordinal) AS place
        FROM numbered AS n WHERE n.replaces OR n.waiting <= p_most
    ), counted AS (
        -- A channel's row may have been deleted by hand, and what is held not.
        UPDATE channels AS c SET arrivals = a.messages + greatest(c.arrivals, (
            SELECT h.arrival FROM held_messages AS h WHERE h.channel = c.channel
            ORDER BY h.arrival DESC LIMIT 1
        ))
        FROM (
            SELECT a.channel, count(*) AS messages FROM accepted AS a GROUP BY a.channel
        ) AS a
        WHERE c.channel = a.channel
        RETURNING c.channel, c.arrivals - a.messages AS before, greatest(
            c.last_created, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint
        ) AS created
    ), stored AS (
        INSERT INTO held_messages AS h (
            channel, id, arrival, client_id, created, username, data, publisher, idempotency_key,
            retraction_id
        )
        SELECT a.channel, a.id, c.before + a.place, a.client_id, c.created, a.username, a.data,
            a.publisher, a.key, a.retraction_id
        FROM accepted AS a JOIN counted AS c ON c.channel = a.channel
        RETURNING h.channel, h.id, h.created
    )
    SELECT n.ordinal, CASE WHEN s.id IS NULL THEN 'full' ELSE 'held' END, NULL::bigint, n.id,
        NULL::text, s.created, NULL::text, NULL::jsonb, NULL::text
    FROM numbered AS n LEFT JOIN stored AS s ON s.channel = n.channel AND s.id = n.id
    UNION ALL
    SELECT k.key::bigint, k.value ->> 'outcome', (k.value ->> 'sequence')::bigint,
        (k.value ->> 'id')::uuid, k.value ->> 'client_id', (k.value ->> 'created')::bigint,
        k.value ->> 'username', k.value -> 'data', k.value ->> 'publisher'
    FROM jsonb_each(v_known) AS k;
END
$function$
"""

# In the order of `p_ids`. Those whose key was used or spent meanwhile are dropped.
_APPROVE = """
CREATE OR REPLACE FUNCTION approve_messages(p_channel text, p_ids uuid[], p_again boolean)
RETURNS TABLE (
    sequence bigint, id uuid, client_id text, created bigint, username text, data jsonb,
    publisher text, retraction_id uuid,
    removed_sequence bigint, removed_id uuid, removed_client_id text, removed_created bigint,
    removed_username text, removed_data jsonb, removed_publisher text
)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    v_ids uuid[];
    v_client_ids text[];
    v_publishers text[];
    v_usernames text[];
    v_data jsonb[];
    v_keys text[];
    v_retraction_ids uuid[];
BEGIN
    -- First, as publishing does: no two of them wait for each other in a circle.
    PERFORM 1 FROM channels AS c WHERE c.channel = p_channel FOR UPDATE;
    IF p_again THEN
        -- An earlier try was committed.
        RETURN QUERY
        SELECT m.sequence, m.id, m.client_id, m.created, m.username, m.data, m.publisher,
            NULL::uuid, NULL::bigint, NULL::uuid, NULL, NULL::bigint, NULL, NULL::jsonb, NULL
        FROM messages AS m WHERE m.channel = p_channel AND m.id = ANY (p_ids)
        ORDER BY m.sequence;
    END IF;
    WITH gone AS (
        DELETE FROM held_messages AS h WHERE h.channel = p_channel AND h.id = ANY (p_ids)
        RETURNING h.*
    )
    SELECT array_agg(g.id), array_agg(g.client_id), array_agg(g.publisher),
        array_agg(g.username), array_agg(g.data), array_agg(g.idempotency_key),
        array_agg(g.retraction_id)
    INTO v_ids, v_client_ids, v_publishers, v_usernames, v_data, v_keys, v_retraction_ids
    FROM (
        SELECT gone.* FROM gone
        JOIN unnest(p_ids) WITH ORDINALITY AS i (id, ordinal) ON i.id = gone.id
        ORDER BY i.ordinal
    ) AS g;
    IF v_ids IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT p.sequence, p.id, v_client_ids[p.ordinal], p.created, v_usernames[p.ordinal],
        v_data[p.ordinal], v_publishers[p.ordinal], v_retraction_ids[p.ordinal],
        p.removed_sequence, p.removed_id, p.removed_client_id, p.removed_created,
        p.removed_username, p.removed_data, p.removed_publisher
    FROM publish_messages(
        array_fill(p_channel, ARRAY[cardinality(v_ids)]), v_ids, v_client_ids, v_publishers,
        v_usernames, v_data, v_keys, false, v_retraction_ids
    ) AS p
    WHERE p.id = v_ids[p.ordinal]
    ORDER BY p.ordinal;
END
$function$
"""


def upgrade() -> None:
    """Add the table; it may be run again after it was interrupted."""
    op.execute(_LOCK_TIMEOUT)
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS arrivals bigint NOT NULL DEFAULT 0")
    for statement in (*_TABLE, _HOLD, _APPROVE):
        op.execute(statement)


def downgrade() -> None:
    """Forget what waits."""
    op.execute(_LOCK_TIMEOUT)
    op.execute("DROP FUNCTION approve_messages(text, uuid[], boolean)")
    op.execute(
        "DROP FUNCTION hold_messages(text[], uuid[], text[], text[], text[], jsonb[], text[], "
        "boolean, uuid[], bigint)"
    )
    op.drop_table("held_messages")
    op.drop_column("channels", "arrivals")
