"""How old the oldest that is stored of each channel is: a look at three rows or fewer a channel."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.storage.database import Database

__all__ = ["Age", "Ages"]

_AGES: Final = """
    SELECT c.channel, o.created, floor(extract(epoch FROM now()) * 1000)::bigint AS now
    FROM ({channels}) AS c
    CROSS JOIN LATERAL (
        SELECT least(
            (SELECT created FROM messages AS m
             WHERE m.channel = c.channel ORDER BY m.sequence LIMIT 1),
            (SELECT created FROM retractions AS r
             WHERE r.channel = c.channel ORDER BY r.sequence LIMIT 1),
            (SELECT created FROM held_messages AS h
             WHERE h.channel = c.channel ORDER BY h.arrival LIMIT 1)
        ) AS created
    ) AS o
    ORDER BY c.channel
"""
_OF_ALL: Final = _AGES.format(
    channels="SELECT channel FROM channels WHERE channel > $1 ORDER BY channel LIMIT $2"
)
_OF_SOME: Final = _AGES.format(
    channels="SELECT channel FROM channels "
    "WHERE channel > $1 AND channel = ANY($3::text[]) ORDER BY channel LIMIT $2"
)


@dataclass(frozen=True, slots=True)
class Age:
    """A channel's oldest message, held ones too, or retraction, and the time.

    Both by the database's clock.
    """

    channel: Channel
    oldest: int | None
    """Its `created`; None: the channel has none."""
    now: int


class Ages:
    """The ages of channels.

    Args:
        database: where the channels are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, after: str, limit: int, among: Iterable[Channel] | None = None
    ) -> Sequence[Age]:
        """Return the ages of some channels, in the order of their keys.

        Args:
            after: a channel's key, exclusive; empty: from the first on.
            limit: channels at the most; fewer mean that there are no more.
            among: only these; None: all.
        """
        if among is None:
            rows = await self._database.fetch(_OF_ALL, after, limit)
        else:
            keys = [channel.key for channel in among]
            rows = await self._database.fetch(_OF_SOME, after, limit, keys)
        return [Age(Channel.from_key(row["channel"]), row["created"], row["now"]) for row in rows]
