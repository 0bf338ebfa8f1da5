"""Where channels' orders end, for all who ask at once: one statement, and never an old one."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from app.domain.channel import Channel
from app.domain.message import Head

__all__ = ["HeadLooks", "Heads"]


class Heads(Protocol):
    """The table's newest sequences."""

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends."""


class HeadLooks:
    """Looks at heads after the question, together: one statement at a time is under way.

    Args:
        history: reads them.
    """

    def __init__(self, history: Heads) -> None:
        self._history = history
        self._asked: dict[Channel, list[asyncio.Future[Head]]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def head(self, channel: Channel) -> Head:
        """Return where a channel's order ends, as read after this call.

        Raises:
            Unavailable: the database is away.
        """
        # One for each who asks: whoever gives up must not take it from the others.
        told: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(channel, []).append(told)
        if self._looking is None:
            # It begins with the next turn of the loop, so that all of this turn share it.
            self._looking = asyncio.create_task(self._look(), name="look at heads")
        return await told

    async def _look(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                try:
                    heads = await self._history.heads(list(asked))
                except Exception as error:
                    self._tell(asked, error)
                else:
                    self._tell(asked, heads)
        finally:
            self._looking = None

    @staticmethod
    def _tell(
        asked: dict[Channel, list["asyncio.Future[Head]"]], heads: dict[Channel, Head] | Exception
    ) -> None:
        for channel, waiting in asked.items():
            for told in waiting:
                if told.done():
                    continue  # It gave up.
                if isinstance(heads, Exception):
                    told.set_exception(heads)
                else:
                    told.set_result(heads[channel])
