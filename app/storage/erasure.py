"""What is stored of one person, found by the user name on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.domain.query import Comparison, MessageQuery, Operator, parse_field
from app.storage.database import Database

__all__ = [
    "TABLES",
    "Traces",
    "bans_of",
    "forget_held",
    "forget_keys",
    "messages_of",
    "traces_of",
]

TABLES: Final = ("messages", "retracted_messages", "held_messages")
"""Where rows of a person may be: what has to be cleaned when they are deleted."""

# By channel: the index on user names begins with it.
_FOUND: Final = """
    SELECT c.channel, n.messages
    FROM channels AS c CROSS JOIN LATERAL (
        SELECT (
            SELECT count(*) FROM messages AS m WHERE m.channel = c.channel AND m.username = $1
        ) + (
            SELECT count(*) FROM held_messages AS h WHERE h.channel = c.channel AND h.username = $1
        ) AS messages
    ) AS n
    WHERE n.messages > 0
        AND ($2::text IS NULL OR c.channel > $2 || '/' AND c.channel < $2 || '0')
    ORDER BY c.channel
"""
# The channels' rows first, in the order of their names, as publishing and approving lock them.
_FORGET_HELD: Final = """
    WITH locked AS MATERIALIZED (
        SELECT c.channel FROM channels AS c
        WHERE EXISTS (
            SELECT FROM held_messages AS h WHERE h.channel = c.channel AND h.username = $1
        ) AND ($2::text IS NULL OR c.channel > $2 || '/' AND c.channel < $2 || '0')
        ORDER BY c.channel FOR UPDATE
    ), gone AS (
        DELETE FROM held_messages AS h USING locked
        WHERE h.channel = locked.channel AND h.username = $1
        RETURNING h.channel
    )
    SELECT channel, count(*) AS messages FROM gone GROUP BY channel
"""
# A key that was spent belongs to the publisher, who is known by what there is under the name.
_FORGET_KEYS: Final = """
    UPDATE retracted_messages AS r SET key_owner = NULL, idempotency_key = NULL
    FROM channels AS c
    WHERE r.channel = c.channel AND r.idempotency_key IS NOT NULL AND r.key_owner IN (
        SELECT m.publisher FROM channels AS p CROSS JOIN LATERAL (
            SELECT publisher FROM messages AS m
            WHERE m.channel = p.channel AND m.username = $1 AND m.publisher IS NOT NULL
            UNION ALL
            SELECT publisher FROM held_messages AS h
            WHERE h.channel = p.channel AND h.username = $1 AND h.publisher IS NOT NULL
        ) AS m
    ) AND ($2::text IS NULL OR c.channel > $2 || '/' AND c.channel < $2 || '0')
"""
_BANS: Final = """
    SELECT count(*) FROM bans
    WHERE kind = 'username' AND name = $1 AND gone_at IS NULL
        AND ($2::text IS NULL OR project_id = $2)
"""
_USERNAME: Final = parse_field("field", "username")


@dataclass(frozen=True, slots=True)
class Traces:
    """What one channel has of a person."""

    channel: Channel
    messages: int
    """Stored, or held for a moderator."""


def messages_of(username: str) -> MessageQuery:
    """Return the query for the messages of a person in a channel."""
    return MessageQuery(filters=(Comparison(_USERNAME, Operator.EQ, username),))


async def forget_keys(database: Database, username: str, project_id: str | None) -> None:
    """Forget the keys that a person's messages had which others have retracted.

    Args:
        database: where; the person's other messages tell who it is, so they must be there still.
        username: as it stands on the messages.
        project_id: only there; None: in all projects.
    """
    await database.fetch(_FORGET_KEYS, username, project_id)


async def forget_held(
    database: Database, username: str, project_id: str | None
) -> dict[Channel, int]:
    """Delete a person's messages that wait for a moderator; return how many in each channel.

    Args:
        database: where.
        username: as it stands on the messages.
        project_id: only there; None: in all projects.
    """
    rows = await database.fetch(_FORGET_HELD, username, project_id)
    return {Channel.from_key(row["channel"]): row["messages"] for row in rows}


async def bans_of(database: Database, username: str, project_id: str | None) -> int:
    """Return how many bans by a user name are in force.

    Args:
        database: where.
        username: exactly.
        project_id: only there; None: in all projects.
    """
    rows = await database.fetch(_BANS, username, project_id)
    bans: int = rows[0]["count"]
    return bans


async def traces_of(database: Database, username: str, project_id: str | None) -> Sequence[Traces]:
    """Return what there is of a person, in the order of the channels' names.

    Args:
        database: where to look; every channel is looked at.
        username: as it stands on the messages, capitals and accents included.
        project_id: only there; None: in all projects.
    """
    rows = await database.fetch(_FOUND, username, project_id)
    return [Traces(Channel.from_key(row["channel"]), row["messages"]) for row in rows]
