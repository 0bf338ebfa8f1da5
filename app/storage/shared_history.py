"""One read for all who ask for the same: a thousand clients resume from the same message.

Stored messages never change, so a page read a moment ago is as good as a new one, as long
as it reaches as far as is asked for now, or is full, and nothing was removed since: a look at
the channel's counters tells. Pages are kept for a moment and within a bound; whoever asks while
a read is under way waits for that one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.domain.entry import StoredEntry
from app.domain.message import Head, Message
from app.storage.head_looks import HeadLooks
from app.storage.history import MessageHistory

__all__ = ["SharedHistory"]

_KEPT_SECONDS: Final = 0.9
"""The counters do not tell when what is left of a retracted message is deleted: within a second it
is no cursor here, even where the event of that is lost."""
_KEPT_PAGES_MAX: Final = 256
_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class _Page:
    read: "asyncio.Task[list[StoredEntry]]"
    up_to: int
    removed: int
    """How much of the channel was removed before it was read, at least."""
    until: float
    size: int = 0

    def may_reach(self, after: int, up_to: int, limit: int) -> bool:
        """Return whether it answers for `up_to` too, as far as can be told before it is read."""
        if self.up_to >= up_to:
            return True
        if not self.read.done():
            # Full, unless messages were deleted.
            return self.up_to - after >= limit
        failed = self.read.cancelled() or self.read.exception() is not None
        return not failed and len(self.read.result()) == limit


@dataclass(frozen=True, slots=True)
class _Place:
    read: "asyncio.Task[int | None]"
    removed: int
    until: float


class SharedHistory:
    """A `MessageHistory` whose equal reads are one."""

    def __init__(self, history: MessageHistory) -> None:
        self._history = history
        self._looks = HeadLooks(history)
        self._pages: OrderedDict[tuple[Channel, int, int], _Page] = OrderedDict()
        self._bytes = 0
        self._places: OrderedDict[tuple[Channel, str], _Place] = OrderedDict()

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends; never shared: it changes."""
        return await self._history.heads(channels)

    async def between(
        self, channel: Channel, after: int, up_to: int, limit: int
    ) -> list[StoredEntry]:
        """Return what is stored in order, as `MessageHistory.between` does."""
        key = (channel, after, limit)
        removed = (await self._looks.head(channel)).removed
        while True:
            page = self._page(key, up_to, removed)
            try:
                # Shielded: the others who wait for it must not lose it with this one.
                entries = await asyncio.shield(page.read)
            except BaseException:
                if page.read.done():
                    self._drop(key, page)
                raise
            # A full page may have been read for less: what was published since comes after it.
            if page.up_to >= up_to or len(entries) == limit:
                break
        if page.up_to <= up_to:
            return entries
        return [one for one in entries if one.sequence is not None and one.sequence <= up_to]

    def forget(self, channel: Channel) -> None:
        """Keep nothing of a channel: its messages are not those that were read."""
        for key, page in tuple(self._pages.items()):
            if key[0] == channel:
                self._drop(key, page)
        for place in tuple(self._places):
            if place[0] == channel:
                del self._places[place]

    async def by_id(self, channel: Channel, message_id: str) -> Message | None:
        """Return a message of the channel, or None where it has none of that id."""
        return await self._history.by_id(channel, message_id)

    async def sequence_of(self, channel: Channel, cursor: str) -> int | None:
        """Return the place of a cursor, as `MessageHistory.sequence_of` does."""
        key = (channel, cursor)
        removed = (await self._looks.head(channel)).removed
        now = asyncio.get_running_loop().time()
        place = self._places.get(key)
        if place is None or place.until < now or place.removed < removed:
            place = self._look_up(key, removed, now + _KEPT_SECONDS)
        sequence: int | None = None
        try:
            sequence = await asyncio.shield(place.read)
        finally:
            # What failed or found nothing is no answer for the next one.
            if sequence is None and place.read.done() and self._places.get(key) is place:
                del self._places[key]
        return sequence

    async def newest_id(self, channel: Channel, up_to: int) -> str | None:
        """Return the cursor of the last that is stored, as `MessageHistory.newest_id` does."""
        return await self._history.newest_id(channel, up_to)

    async def before_last(self, channel: Channel, up_to: int, number: int) -> int:
        """Return where the last messages begin, as `MessageHistory.before_last` does."""
        if not (await self._looks.head(channel)).removed:
            return max(0, up_to - number)  # every place has a message
        return await self._history.before_last(channel, up_to, number)

    def _look_up(self, key: tuple[Channel, str], removed: int, until: float) -> _Place:
        place = _Place(asyncio.create_task(self._history.sequence_of(*key)), removed, until)
        # Whoever waited for it may be gone: no warning about that.
        place.read.add_done_callback(lambda read: read.cancelled() or read.exception())
        self._places[key] = place
        self._places.move_to_end(key)
        if len(self._places) > _KEPT_PAGES_MAX:
            self._places.popitem(last=False)
        return place

    def _page(self, key: tuple[Channel, int, int], up_to: int, removed: int) -> _Page:
        """Return the page that is kept or being read if it may do, else begin to read it."""
        channel, after, limit = key
        now = asyncio.get_running_loop().time()
        page = self._pages.get(key)
        if (
            page is not None
            and page.until >= now
            and page.removed >= removed
            and page.may_reach(after, up_to, limit)
        ):
            return page
        page = _Page(
            asyncio.create_task(self._history.between(channel, after, up_to, limit)),
            up_to,
            removed,
            now + _KEPT_SECONDS,
        )
        self._keep(key, page)
        return page

    def _keep(self, key: tuple[Channel, int, int], page: _Page) -> None:
        if (old := self._pages.get(key)) is not None:
            self._drop(key, old)
        self._pages[key] = page

        def measure(read: "asyncio.Task[list[StoredEntry]]") -> None:
            if read.cancelled() or read.exception() or self._pages.get(key) is not page:
                return
            page.size = sum(entry.size for entry in read.result())
            self._bytes += page.size
            self._trim()

        page.read.add_done_callback(measure)
        self._trim()

    def _trim(self) -> None:
        while len(self._pages) > _KEPT_PAGES_MAX or self._bytes > _KEPT_BYTES_MAX:
            key, page = next(iter(self._pages.items()))
            self._drop(key, page)

    def _drop(self, key: tuple[Channel, int, int], page: _Page) -> None:
        if self._pages.get(key) is page:
            del self._pages[key]
            self._bytes -= page.size
