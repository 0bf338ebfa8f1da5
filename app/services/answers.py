"""Answers of searches kept in memory, as long as nothing has changed in their channel.

An answer is filed under the head that its channel had before it was read, so that it is at
least as new as that. Whoever asks the same later looks at the head first: if it is the same
one, no message was stored since, by any process, and the answer still holds. One small look
is shared by all who ask at once, whatever their channels.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from app.defaults import ANSWER_CACHE_BYTES
from app.domain.channel import Channel
from app.domain.message import Head
from app.errors import Unavailable
from app.storage.head_looks import HeadLooks, Heads

__all__ = ["Answers"]

_ENTRY_BYTES: Final = 600
"""What one takes beside its bytes and its key."""
_LARGEST_SHARE: Final = 1 / 8
"""Of all that may be kept: a larger answer is read each time."""
_ENTRIES_MAX: Final = 50_000
"""Asked for once, most of them, and not kept: a key and a place."""


class _Entry:
    """One question: its answer, once it was asked twice; and who reads it now."""

    __slots__ = ("head", "payload", "reading", "reading_head", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self.head: Head | None = None
        """What the channel's head was before the answer was read."""
        self.payload: bytes | None = None
        self.reading: asyncio.Task[bytes] | None = None
        self.reading_head: Head | None = None


class Answers:
    """The answers that this process keeps; the least recently used goes first.

    Args:
        history: tells where channels' orders end.
        max_bytes: of all that is kept; 0: nothing is kept, every answer is read.
    """

    def __init__(self, history: Heads, max_bytes: int = ANSWER_CACHE_BYTES) -> None:
        self._looks = HeadLooks(history)
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._bytes = 0
        self.hits = 0
        """Questions that were answered from memory."""
        self.misses = 0

    @property
    def held_bytes(self) -> int:
        """What is kept, with what it takes to find it."""
        return self._bytes

    async def answer(
        self, channel: Channel, key: bytes | None, read: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Return the answer to a question: at least as new as this moment.

        Args:
            channel: which the answer is all about.
            key: equal for equal questions only, those about other channels included; None:
                nobody will ask it again.
            read: reads the answer; a failure of it is neither kept nor shared.
        """
        if key is None or not self._max_bytes:
            return await read()
        entry = self._entries.get(key)
        if entry is None:
            self.misses += 1
            # Most questions are asked once: only the second time it is worth a look.
            self._add(key, _Entry(len(key) + _ENTRY_BYTES))
            return await read()
        self._entries.move_to_end(key)
        try:
            head = await self._looks.head(channel)
        except Unavailable:
            # The answer, or why there is none, says it in the words of what was asked for.
            return await read()
        if entry.payload is not None and entry.head == head:
            self.hits += 1
            return entry.payload
        self.misses += 1
        shared = entry.reading is not None and entry.reading_head == head
        if entry.reading is None or not shared:
            entry.reading = asyncio.create_task(self._read(key, entry, head, read))
            entry.reading_head = head
            # Whoever waited for it may be gone: no warning about that.
            entry.reading.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            # A read that began under this head sees all that was stored before it. Shielded:
            # whoever gives up must not take it from the others.
            return await asyncio.shield(entry.reading)
        except Exception:
            if not shared:
                raise
        # Nobody is refused for what somebody else has asked: the other's line may be full, say.
        return await read()

    async def _read(
        self, key: bytes, entry: _Entry, head: Head, read: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        newest = True
        try:
            payload = await read()
        finally:
            newest = entry.reading is asyncio.current_task()
            if newest:
                entry.reading = entry.reading_head = None
        if newest:  # else another one reads under a later head
            self._keep(key, entry, head, payload)
        return payload

    def _keep(self, key: bytes, entry: _Entry, head: Head, payload: bytes) -> None:
        if self._entries.get(key) is not entry:
            return  # It went meanwhile.
        if len(payload) > self._max_bytes * _LARGEST_SHARE:
            return
        entry.head, entry.payload = head, payload
        self._bytes -= entry.size
        entry.size = len(key) + len(payload) + _ENTRY_BYTES
        self._bytes += entry.size
        self._trim()

    def _add(self, key: bytes, entry: _Entry) -> None:
        self._entries[key] = entry
        self._bytes += entry.size
        self._trim()

    def _trim(self) -> None:
        while self._bytes > self._max_bytes or len(self._entries) > _ENTRIES_MAX:
            _, gone = self._entries.popitem(last=False)
            self._bytes -= gone.size
