"""What is stored of one person, found by the user name on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.domain.query import Comparison, MessageQuery, Operator, parse_field
from app.storage.database import Database

__all__ = ["TABLES", "Traces", "messages_of", "traces_of"]

TABLES: Final = ("messages",)
"""Where rows of a person may be: what has to be cleaned when they are deleted."""

# By channel: the index on user names begins with it.
_FOUND: Final = """
    SELECT c.channel, n.messages
    FROM channels AS c CROSS JOIN LATERAL (
        SELECT count(*) AS messages FROM messages AS m
        WHERE m.channel = c.channel AND m.username = $1
    ) AS n
    WHERE n.messages > 0
        AND ($2::text IS NULL OR c.channel > $2 || '/' AND c.channel < $2 || '0')
    ORDER BY c.channel
"""
_USERNAME: Final = parse_field("field", "username")


@dataclass(frozen=True, slots=True)
class Traces:
    """What one channel has of a person."""

    channel: Channel
    messages: int


def messages_of(username: str) -> MessageQuery:
    """Return the query for the messages of a person in a channel."""
    return MessageQuery(filters=(Comparison(_USERNAME, Operator.EQ, username),))


async def traces_of(database: Database, username: str, project_id: str | None) -> Sequence[Traces]:
    """Return what there is of a person, in the order of the channels' names.

    Args:
        database: where to look; every channel is looked at.
        username: as it stands on the messages, capitals and accents included.
        project_id: only there; None: in all projects.
    """
    rows = await database.fetch(_FOUND, username, project_id)
    return [Traces(Channel.from_key(row["channel"]), row["messages"]) for row in rows]
