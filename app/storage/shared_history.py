"""One read for all who ask for the same: a thousand clients resume from the same message.

Stored messages never change, so a page read a moment ago is as good as a new one, as long
as it reaches as far as is asked for now, or is full, and nothing was deleted (`forget`). Pages
are kept for a moment and within a bound; whoever asks while a read is under way waits for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel
from app.domain.message import Head, Message
from app.storage.history import MessageHistory

__all__ = ["SharedHistory"]

_KEPT_SECONDS: Final = 0.9
"""What another process has deleted is gone here within a second, even if nobody tells."""
_KEPT_PAGES_MAX: Final = 256
_KEPT_BYTES_MAX: Final = 16 * 1024 * 1024


@dataclass(slots=True)
class _Page:
    read: "asyncio.Task[list[Message]]"
    up_to: int
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
class _Found:
    read: "asyncio.Task[Message | None]"
    until: float


class SharedHistory:
    """A `MessageHistory` whose equal reads are one."""

    def __init__(self, history: MessageHistory) -> None:
        self._history = history
        self._pages: OrderedDict[tuple[Channel, int, int], _Page] = OrderedDict()
        self._bytes = 0
        self._found: OrderedDict[tuple[Channel, str], _Found] = OrderedDict()

    async def heads(self, channels: Sequence[Channel]) -> dict[Channel, Head]:
        """Return where each channel's order ends; never shared: it changes."""
        return await self._history.heads(channels)

    async def between(self, channel: Channel, after: int, up_to: int, limit: int) -> list[Message]:
        """Return messages in order, as `MessageHistory.between` does."""
        key = (channel, after, limit)
        while True:
            page = self._page(key, up_to)
            try:
                # Shielded: the others who wait for it must not lose it with this one.
                messages = await asyncio.shield(page.read)
            except BaseException:
                if page.read.done():
                    self._drop(key, page)
                raise
            # A full page may have been read for less: what was published since comes after it.
            if page.up_to >= up_to or len(messages) == limit:
                break
        if page.up_to <= up_to:
            return messages
        return [one for one in messages if one.sequence is not None and one.sequence <= up_to]

    def forget(self, channel: Channel) -> None:
        """Keep nothing of a channel: its messages are not those that were read."""
        for key, page in tuple(self._pages.items()):
            if key[0] == channel:
                self._drop(key, page)
        for found in tuple(self._found):
            if found[0] == channel:
                del self._found[found]

    async def by_id(self, channel: Channel, message_id: str) -> Message | None:
        """Return a message of the channel, or None where it has none of that id."""
        key = (channel, message_id)
        now = asyncio.get_running_loop().time()
        found = self._found.get(key)
        if found is None or found.until < now:
            found = self._look_up(key, now + _KEPT_SECONDS)
        message: Message | None = None
        try:
            message = await asyncio.shield(found.read)
        finally:
            # What failed or found nothing is no answer for the next one.
            if message is None and found.read.done() and self._found.get(key) is found:
                del self._found[key]
        return message

    def _look_up(self, key: tuple[Channel, str], until: float) -> _Found:
        found = _Found(asyncio.create_task(self._history.by_id(*key)), until)
        # Whoever waited for it may be gone: no warning about that.
        found.read.add_done_callback(lambda read: read.cancelled() or read.exception())
        self._found[key] = found
        self._found.move_to_end(key)
        if len(self._found) > _KEPT_PAGES_MAX:
            self._found.popitem(last=False)
        return found

    def _page(self, key: tuple[Channel, int, int], up_to: int) -> _Page:
        """Return the page that is kept or being read if it may do, else begin to read it."""
        channel, after, limit = key
        now = asyncio.get_running_loop().time()
        page = self._pages.get(key)
        if page is not None and page.until >= now and page.may_reach(after, up_to, limit):
            return page
        page = _Page(
            asyncio.create_task(self._history.between(channel, after, up_to, limit)),
            up_to,
            now + _KEPT_SECONDS,
        )
        self._keep(key, page)
        return page

    def _keep(self, key: tuple[Channel, int, int], page: _Page) -> None:
        if (old := self._pages.get(key)) is not None:
            self._drop(key, old)
        self._pages[key] = page

        def measure(read: "asyncio.Task[list[Message]]") -> None:
            if read.cancelled() or read.exception() or self._pages.get(key) is not page:
                return
            page.size = sum(len(message.data_json) for message in read.result())
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
