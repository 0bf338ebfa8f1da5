"""The idempotency keys of the last messages that are not stored: this process's memory.

A retry finds its first message, unless that is forgotten meanwhile: then it is published again.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from app.domain.message import Draft, Message

__all__ = ["RecentMessages"]


class RecentMessages:
    """Messages by their keys. Bounded by number, bytes and age; the oldest is forgotten first."""

    _MAX: Final = 10_000
    _MAX_BYTES: Final = 8 * 1024 * 1024
    _MAX_AGE_SECONDS: Final = 300.0
    """Whoever retries does so within seconds."""
    _ENTRY_BYTES: Final = 800
    """What one takes beside its data: the message, its ids and its key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock, in seconds, that is never set."""
        self._clock = clock
        self._messages: dict[Hashable, tuple[Message, float]] = {}
        self._bytes = 0

    def first(self, draft: Draft) -> Message | None:
        """Return the message that was published under the draft's key; None: not known."""
        key = draft.repeat_key
        if key is None:
            return None
        self._forget_old()
        found = self._messages.get(key)
        return None if found is None else found[0]

    def add(self, draft: Draft, message: Message) -> None:
        """Remember what a draft has become, in the place of an earlier one under its key."""
        key = draft.repeat_key
        if key is None:
            return
        self._forget(key)
        # A copy: the one that is delivered keeps its decoded data, which may be many times larger.
        self._messages[key] = (replace(message), self._clock())
        self._bytes += self._size(message)
        self._forget_old()

    def _forget_old(self) -> None:
        earliest = self._clock() - self._MAX_AGE_SECONDS
        while self._messages:
            key, (_, since) = next(iter(self._messages.items()))
            if (
                since >= earliest
                and len(self._messages) <= self._MAX
                and self._bytes <= self._MAX_BYTES
            ):
                return
            self._forget(key)

    def _forget(self, key: Hashable) -> None:
        if (known := self._messages.pop(key, None)) is not None:
            self._bytes -= self._size(known[0])

    def _size(self, message: Message) -> int:
        return len(message.data_json) + self._ENTRY_BYTES
