"""Retractions: a place each in the channel's order, and nothing left of what they name.

`messages` keeps only what can be seen: a retracted message's row is deleted, so that searches,
indexes and counts need not know. Its id stays a cursor, in `retracted_messages`.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '5s'"

_TABLES = (
    """
CREATE TABLE IF NOT EXISTS retractions (
    channel text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    created bigint NOT NULL,
    ids uuid[] NOT NULL,
    reason text COLLATE "C",
    PRIMARY KEY (channel, sequence)
)
""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS retractions_id ON retractions (channel, id)
""",
    """
CREATE TABLE IF NOT EXISTS retracted_messages (
    channel text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    key_owner text COLLATE "C",
    idempotency_key text COLLATE "C",
    PRIMARY KEY (channel, sequence)
)
""",
    """
CREATE UNIQUE INDEX IF NOT EXISTS retracted_messages_id ON retracted_messages (channel, id)
""",
    """
CREATE INDEX IF NOT EXISTS retracted_messages_key
    ON retracted_messages (channel, key_owner, idempotency_key)
    WHERE idempotency_key IS NOT NULL
""",
)

_PUBLISH = """
CREATE OR REPLACE FUNCTION publish_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_publishers text[],
    p_usernames text[], p_data jsonb[], p_keys text[], p_again boolean,
    p_retraction_ids uuid[]
)
RETURNS TABLE (
    ordinal bigint, sequence bigint, id uuid, created bigint,
    removed_sequence bigint, removed_id uuid, removed_client_id text, removed_created bigint,
    removed_username text, removed_data jsonb, removed_publisher text
)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    v_known jsonb := '{}';
    v_gone jsonb := '{}';
BEGIN
    -- Locks are always taken in the order of the channels' names, so two batches never
    -- wait for each other in a circle. While a channel's row is locked nobody else gives
    -- out its sequences, and it is unlocked by the commit: sequence order is commit order.
    IF p_again OR array_remove(p_keys, NULL) <> '{}' THEN
        INSERT INTO channels AS c (channel)
        SELECT DISTINCT i.channel COLLATE "C" FROM unnest(p_channels) AS i (channel) ORDER BY 1
        ON CONFLICT (channel) DO UPDATE SET head = c.head;
        -- A statement of its own: its snapshot, taken after the locks, sees all that
        -- whoever held them before has committed.
        SELECT coalesce(
            jsonb_object_agg(
                i.ordinal, jsonb_build_array(f.sequence, f.id, f.created, f.replaced)
            ),
            '{}'
        )
        INTO v_known
        FROM unnest(
            p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_keys, p_retraction_ids
        ) WITH ORDINALITY
            AS i (channel, id, client_id, publisher, username, key, retraction_id, ordinal)
        CROSS JOIN LATERAL (
            -- Stored by an earlier try, and perhaps retracted since.
            SELECT m.sequence, m.id, m.created, false AS replaced FROM messages AS m
            WHERE p_again AND m.channel = i.channel AND m.id = i.id
            UNION ALL
            SELECT r.sequence, r.id, 0, false FROM retracted_messages AS r
            WHERE p_again AND r.channel = i.channel AND r.id = i.id
            UNION ALL
            -- A moderator has retracted what was published under the key: it is spent.
            SELECT NULL, NULL, NULL, false FROM retracted_messages AS r
            WHERE r.channel = i.channel AND r.idempotency_key = i.key
                AND r.key_owner = coalesce(i.publisher, 'client:' || i.client_id)
            UNION ALL
            SELECT m.sequence, m.id, m.created, i.retraction_id IS NOT NULL FROM messages AS m
            WHERE m.channel = i.channel AND m.idempotency_key = i.key
                AND coalesce(m.publisher, 'client:' || m.client_id)
                    = coalesce(i.publisher, 'client:' || i.client_id)
            UNION ALL
            -- Stored before publishers were, by whoever the same token names: the retry of a
            -- publish that was under way during the upgrade. Only a token gives a username.
            SELECT m.sequence, m.id, m.created, i.retraction_id IS NOT NULL FROM messages AS m
            WHERE m.channel = i.channel AND m.idempotency_key = i.key
                AND coalesce(m.publisher, 'client:' || m.client_id) = 'client:' || i.client_id
                AND i.publisher LIKE 'sub:%' AND m.username = i.username
            LIMIT 1
        ) AS f;
        IF jsonb_path_exists(v_known, '$.*[3] ? (@ == true)') THEN
            -- Before the new ones are stored: a publisher has one message under a key.
            WITH gone AS (
                DELETE FROM messages AS m
                USING jsonb_each(v_known) AS k
                WHERE (k.value ->> 3)::boolean
                    AND m.channel = p_channels[k.key::integer]
                    AND m.sequence = (k.value ->> 0)::bigint
                RETURNING k.key AS ordinal, m.channel, m.sequence, m.id, m.client_id, m.created,
                    m.username, m.data, m.publisher
            ), kept AS (
                INSERT INTO retracted_messages (channel, sequence, id)
                SELECT g.channel, g.sequence, g.id FROM gone AS g
            )
            SELECT jsonb_object_agg(g.ordinal, jsonb_build_array(
                g.sequence, g.id, g.client_id, g.created, g.username, g.data, g.publisher
            ))
            INTO v_gone FROM gone AS g;
            SELECT coalesce(jsonb_object_agg(k.key, k.value), '{}')
            INTO v_known FROM jsonb_each(v_known) AS k WHERE NOT (k.value ->> 3)::boolean;
        END IF;
    END IF;

    RETURN QUERY
    WITH draft AS MATERIALIZED (
        SELECT i.*, v_gone -> i.ordinal::text AS gone,
            CASE WHEN v_gone ? i.ordinal::text THEN 2 ELSE 1 END AS places
        FROM unnest(
            p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_data, p_keys,
            p_retraction_ids
        ) WITH ORDINALITY AS i (
            channel, id, client_id, publisher, username, data, key, retraction_id, ordinal
        )
        WHERE NOT v_known ? i.ordinal::text
    ), batch AS (
        SELECT d.channel, sum(d.places) AS places, sum(d.places) - count(*) AS retractions
        FROM draft AS d GROUP BY d.channel
    ), head AS (
        INSERT INTO channels AS c (channel, head, last_created, removed, retracted)
        SELECT b.channel, b.places, floor(extract(epoch FROM clock_timestamp()) * 1000),
            b.retractions, 2 * b.retractions
        FROM batch AS b ORDER BY b.channel COLLATE "C"
        ON CONFLICT (channel) DO UPDATE
        SET head = c.head + excluded.head,
            last_created = greatest(c.last_created, excluded.last_created),
            -- A trigger has counted the deleted rows; the retractions are no messages either.
            removed = c.removed + excluded.removed,
            retracted = c.retracted + excluded.retracted
        RETURNING c.channel, c.head, c.last_created
    ), placed AS (
        SELECT d.ordinal, d.channel, d.id, d.client_id, d.publisher, d.username, d.data, d.key,
            d.retraction_id, d.gone,
            -- A retraction comes right before what replaces its message.
            h.head - b.places::bigint
                + sum(d.places) OVER (PARTITION BY d.channel ORDER BY d.ordinal) AS sequence,
            h.last_created AS created
        FROM draft AS d
        JOIN batch AS b ON b.channel = d.channel
        JOIN head AS h ON h.channel = d.channel
    ), retracted AS (
        INSERT INTO retractions (channel, sequence, id, created, ids)
        SELECT p.channel, p.sequence - 1, p.retraction_id, p.created,
            ARRAY[(p.gone ->> 1)::uuid]
        FROM placed AS p WHERE p.gone IS NOT NULL
    ), stored AS (
        INSERT INTO messages
            (channel, sequence, id, client_id, created, username, data, idempotency_key, publisher)
        SELECT p.channel, p.sequence, p.id, p.client_id, p.created, p.username, p.data, p.key,
            p.publisher
        FROM placed AS p
    )
    SELECT p.ordinal, p.sequence, p.id, p.created,
        (p.gone ->> 0)::bigint, (p.gone ->> 1)::uuid, p.gone ->> 2, (p.gone ->> 3)::bigint,
        p.gone ->> 4, p.gone -> 5, p.gone ->> 6
    FROM placed AS p
    UNION ALL
    SELECT k.key::bigint, (k.value ->> 0)::bigint, (k.value ->> 1)::uuid, (k.value ->> 2)::bigint,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM jsonb_each(v_known) AS k;
END
$function$
"""

# Processes of the version before call this one until they are gone.
_AS_BEFORE = """
CREATE OR REPLACE FUNCTION publish_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_publishers text[],
    p_usernames text[], p_data jsonb[], p_keys text[], p_again boolean
)
RETURNS TABLE (ordinal bigint, sequence bigint, id uuid, created bigint)
LANGUAGE sql AS $function$
    SELECT p.ordinal, p.sequence, p.id, p.created FROM publish_messages(
        p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_data, p_keys, p_again,
        array_fill(NULL::uuid, ARRAY[cardinality(p_channels)])
    ) AS p
$function$
"""

_RETRACT = """
CREATE OR REPLACE FUNCTION retract_messages(
    p_channel text, p_ids uuid[], p_retractor text, p_any boolean, p_retraction_id uuid,
    p_reason text
)
RETURNS TABLE (
    sequence bigint, created bigint, retracted bigint, foreign_id uuid,
    removed_sequence bigint, removed_id uuid, removed_client_id text, removed_created bigint,
    removed_username text, removed_data jsonb, removed_publisher text
)
LANGUAGE plpgsql AS $function$
#variable_conflict use_column
DECLARE
    v_sequence bigint;
    v_created bigint;
    v_foreign uuid;
    v_rows bigint;
BEGIN
    -- Whatever is read from here on is what the channel holds until this is committed.
    PERFORM 1 FROM channels AS c WHERE c.channel = p_channel FOR UPDATE;
    -- An earlier try may have been committed.
    RETURN QUERY
    SELECT r.sequence, r.created, cardinality(r.ids)::bigint, NULL::uuid,
        NULL::bigint, NULL::uuid, NULL, NULL::bigint, NULL, NULL::jsonb, NULL
    FROM retractions AS r WHERE r.channel = p_channel AND r.id = p_retraction_id;
    IF FOUND THEN
        RETURN;
    END IF;
    IF NOT p_any THEN
        SELECT m.id INTO v_foreign FROM messages AS m
        WHERE m.channel = p_channel AND m.id = ANY (p_ids)
            AND m.publisher IS DISTINCT FROM p_retractor
        LIMIT 1;
        IF FOUND THEN
            RETURN QUERY
            SELECT NULL::bigint, NULL::bigint, 0::bigint, v_foreign,
                NULL::bigint, NULL::uuid, NULL, NULL::bigint, NULL, NULL::jsonb, NULL;
            RETURN;
        END IF;
    END IF;
    PERFORM 1 FROM messages AS m WHERE m.channel = p_channel AND m.id = ANY (p_ids) LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE channels AS c
    SET head = c.head + 1,
        last_created = greatest(
            c.last_created, floor(extract(epoch FROM clock_timestamp()) * 1000)
        )
    WHERE c.channel = p_channel
    RETURNING c.head, c.last_created INTO v_sequence, v_created;
    RETURN QUERY
    WITH gone AS (
        DELETE FROM messages AS m WHERE m.channel = p_channel AND m.id = ANY (p_ids)
        RETURNING m.sequence, m.id, m.client_id, m.created, m.username, m.data, m.publisher,
            m.idempotency_key,
            -- Nobody without a name retracts what is their own.
            p_retractor IS NULL OR m.publisher IS DISTINCT FROM p_retractor AS is_foreign
    ), kept AS (
        -- A key is spent where somebody else has retracted what was published under it.
        INSERT INTO retracted_messages (channel, sequence, id, key_owner, idempotency_key)
        SELECT p_channel, g.sequence, g.id,
            CASE WHEN g.is_foreign AND g.idempotency_key IS NOT NULL
                THEN coalesce(g.publisher, 'client:' || g.client_id) END,
            CASE WHEN g.is_foreign THEN g.idempotency_key END
        FROM gone AS g
    ), stored AS (
        INSERT INTO retractions (channel, sequence, id, created, ids, reason)
        SELECT p_channel, v_sequence, p_retraction_id, v_created,
            array_agg(g.id ORDER BY g.sequence), p_reason
        FROM gone AS g
    )
    SELECT v_sequence, v_created, count(*) OVER (), NULL::uuid,
        g.sequence, g.id, g.client_id, g.created, g.username, g.data, g.publisher
    FROM gone AS g ORDER BY g.sequence;
    GET DIAGNOSTICS v_rows = ROW_COUNT;
    -- A trigger has counted the deleted rows; the retraction is no message either.
    UPDATE channels AS c
    SET removed = c.removed + 1, retracted = c.retracted + v_rows + 1
    WHERE c.channel = p_channel;
END
$function$
"""


def upgrade() -> None:
    """Add retractions; it may be run again after it was interrupted."""
    op.execute(_LOCK_TIMEOUT)
    op.execute("ALTER TABLE channels ADD COLUMN IF NOT EXISTS retracted bigint NOT NULL DEFAULT 0")
    for table in _TABLES:
        op.execute(table)
    op.execute(_PUBLISH)
    op.execute(_AS_BEFORE)
    op.execute(_RETRACT)


def downgrade() -> None:
    """Forget what was retracted; the messages are gone all the same."""
    op.execute(_LOCK_TIMEOUT)
    op.execute("DROP FUNCTION retract_messages(text, uuid[], text, boolean, uuid, text)")
    op.execute(
        "DROP FUNCTION publish_messages("
        "text[], uuid[], text[], text[], text[], jsonb[], text[], boolean, uuid[])"
    )
    op.execute(
        "DROP FUNCTION publish_messages("
        "text[], uuid[], text[], text[], text[], jsonb[], text[], boolean)"
    )
    script = op.get_context().script
    assert script is not None, "revisions run within a script directory"
    earlier = script.get_revision("0003")
    assert earlier is not None
    op.execute(earlier.module._CREATE)
    op.drop_table("retracted_messages")
    op.drop_table("retractions")
    op.drop_column("channels", "retracted")
