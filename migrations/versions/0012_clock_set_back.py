"""Nobody waits for a time that the database's clock has been set back from.

`publish_paced_messages` of revision 0007 took such times as they were: a publisher in slow mode,
and a whole channel with a rate, waited for as long as the clock was set back by.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_PUBLISH_PACED = """
CREATE OR REPLACE FUNCTION publish_paced_messages(
    p_channels text[], p_ids uuid[], p_client_ids text[], p_publishers text[],
    p_usernames text[], p_data jsonb[], p_keys text[], p_again boolean,
    p_retraction_ids uuid[], p_pauses integer[], p_rates integer[]
)
RETURNS TABLE (
    ordinal bigint, sequence bigint, id uuid, created bigint,
    removed_sequence bigint, removed_id uuid, removed_client_id text, removed_created bigint,
    removed_username text, removed_data jsonb, removed_publisher text,
    pause_wait bigint, rate_wait bigint
)
LANGUAGE plpgsql
-- Planned once a connection, for any number of drafts, and by the indexes, however few rows there
-- were then.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $function$
#variable_conflict use_column
DECLARE
    c_second CONSTANT bigint := 1000000;
    v_now bigint;
    v_waits jsonb;
    v_left integer[];
BEGIN
    -- All of them, and in the order of their names, as publishing locks them.
    INSERT INTO channels AS c (channel)
    SELECT DISTINCT i.channel COLLATE "C" FROM unnest(p_channels) AS i (channel) ORDER BY 1
    ON CONFLICT (channel) DO UPDATE SET head = c.head;
    v_now := extract(epoch FROM clock_timestamp()) * c_second;
    WITH draft AS MATERIALIZED (
        SELECT i.channel COLLATE "C" AS channel, i.pause, i.rate, i.ordinal,
            coalesce(i.publisher, 'client:' || i.client_id) COLLATE "C" AS who
        FROM unnest(
            p_channels, p_ids, p_client_ids, p_publishers, p_keys, p_retraction_ids, p_pauses,
            p_rates
        ) WITH ORDINALITY
            AS i (channel, id, client_id, publisher, key, retraction_id, pause, rate, ordinal)
        WHERE (i.pause > 0 OR i.rate > 0)
            -- What an earlier try has stored, or its publisher under the same key, is found and
            -- not published again. Subqueries of one row each: no plan reads all messages for it.
            AND (NOT p_again OR coalesce(
                (SELECT m.id FROM messages AS m WHERE m.channel = i.channel AND m.id = i.id),
                (
                    SELECT r.id FROM retracted_messages AS r
                    WHERE r.channel = i.channel AND r.id = i.id
                )
            ) IS NULL)
            AND (i.key IS NULL OR i.retraction_id IS NOT NULL OR (
                SELECT m.id FROM messages AS m
                WHERE m.channel = i.channel AND m.idempotency_key = i.key
                    AND coalesce(m.publisher, 'client:' || m.client_id)
                        = coalesce(i.publisher, 'client:' || i.client_id)
            ) IS NULL)
    ), paused AS (
        SELECT d.*,
            greatest(0, t.at + d.pause * c_second - v_now) AS waits,
            row_number() OVER (PARTITION BY d.channel, d.who, d.pause > 0 ORDER BY d.ordinal) AS nth
        FROM draft AS d LEFT JOIN publish_times AS t
            ON d.pause > 0 AND t.channel = d.channel AND t.publisher = d.who
                -- A time so far ahead was noted before the clock was set back: it says nothing.
                AND t.at <= v_now + c_second
    ), first AS (
        SELECT p.*,
            CASE
                WHEN p.pause <= 0 THEN 0
                WHEN p.nth = 1 OR p.waits > 0 THEN coalesce(p.waits, 0)
                ELSE p.pause * c_second
            END AS pause_wait
        FROM paused AS p
    ), rated AS (
        SELECT f.*, greatest(t.at, v_now) AS used,
            CASE WHEN f.rate > 0 AND f.pause_wait = 0 THEN greatest(
                0,
                greatest(t.at, v_now) - v_now - c_second + c_second / f.rate * row_number() OVER (
                    PARTITION BY f.channel, f.rate > 0 AND f.pause_wait = 0 ORDER BY f.ordinal
                )
            ) ELSE 0 END AS rate_wait
        FROM first AS f LEFT JOIN publish_times AS t
            ON f.rate > 0 AND t.channel = f.channel AND t.publisher = ''
                -- So here: a rate is used up for a second ahead at the most.
                AND t.at <= v_now + c_second
    ), noted AS (
        INSERT INTO publish_times AS t (channel, publisher, at)
        SELECT r.channel, r.who, v_now FROM rated AS r
        WHERE r.pause > 0 AND r.pause_wait = 0 AND r.rate_wait = 0
        UNION ALL
        SELECT r.channel, '', max(r.used) + sum(c_second / r.rate)::bigint FROM rated AS r
        WHERE r.rate > 0 AND r.pause_wait = 0 AND r.rate_wait = 0
        GROUP BY r.channel
        ON CONFLICT (channel, publisher) DO UPDATE SET at = excluded.at
    )
    SELECT jsonb_object_agg(r.ordinal, jsonb_build_array(r.pause_wait, r.rate_wait)) INTO v_waits
    FROM rated AS r WHERE r.pause_wait > 0 OR r.rate_wait > 0;

    -- The longest pause is a day: what is older says nothing.
    IF (SELECT min(t.at) FROM publish_times AS t) < v_now - 86400 * c_second THEN
        DELETE FROM publish_times WHERE ctid = ANY (ARRAY(
            SELECT t.ctid FROM publish_times AS t WHERE t.at < v_now - 86400 * c_second
            ORDER BY t.at LIMIT 100 FOR UPDATE SKIP LOCKED
        ));
    END IF;

    IF v_waits IS NULL THEN
        RETURN QUERY
        SELECT p.*, 0::bigint, 0::bigint FROM publish_messages(
            p_channels, p_ids, p_client_ids, p_publishers, p_usernames, p_data, p_keys, p_again,
            p_retraction_ids
        ) AS p;
        RETURN;
    END IF;
    RETURN QUERY
    SELECT w.key::bigint, NULL::bigint, NULL::uuid, NULL::bigint, NULL::bigint, NULL::uuid, NULL,
        NULL::bigint, NULL, NULL::jsonb, NULL, (w.value ->> 0)::bigint, (w.value ->> 1)::bigint
    FROM jsonb_each(v_waits) AS w;
    v_left := ARRAY(
        SELECT n FROM generate_subscripts(p_ids, 1) AS n WHERE NOT v_waits ? n::text ORDER BY n
    );
    IF v_left = '{}' THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v_left[p.ordinal]::bigint, p.sequence, p.id, p.created, p.removed_sequence, p.removed_id,
        p.removed_client_id, p.removed_created, p.removed_username, p.removed_data,
        p.removed_publisher, 0::bigint, 0::bigint
    FROM publish_messages(
        ARRAY(SELECT p_channels[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_ids[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_client_ids[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_publishers[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_usernames[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_data[n] FROM unnest(v_left) AS n),
        ARRAY(SELECT p_keys[n] FROM unnest(v_left) AS n),
        p_again,
        ARRAY(SELECT p_retraction_ids[n] FROM unnest(v_left) AS n)
    ) AS p;
END
$function$
"""


def upgrade() -> None:
    """Replace the function; processes of the version before go on calling it."""
    op.execute(_PUBLISH_PACED)


def downgrade() -> None:
    """Leave it: what it was replaced by does what it did."""
