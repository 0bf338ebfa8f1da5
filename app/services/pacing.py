"""How often may be published: by one publisher once a pause, in a channel so often a second.

What this process knows, in memory: a refusal costs no round trip. The table holds the same bounds
over all processes (`publish_messages`), for messages that are stored.
"""

import time
from collections.abc import Callable, Hashable
from math import ceil
from typing import Final

__all__ = ["ChannelRates", "Pauses"]

_PUBLISHERS_MAX: Final = 50_000
"""Publishers whose last message is remembered; the one that waited longest is forgotten first."""
_LONGEST_PAUSE_SECONDS: Final = 86_400
_SECOND: Final = 1_000_000_000
"""In nanoseconds. A channel that was silent may have its messages of a second at once."""


class Pauses:
    """When each publisher published last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[Hashable, tuple[float, str | None]] = {}
        """When, and under which idempotency key; the oldest first."""

    def is_retry(self, publisher: Hashable, key: str | None) -> bool:
        """Return whether the publisher's last message had this idempotency key.

        Args:
            publisher: in which channel, and who.
            key: None: there is none, and it is no retry.
        """
        last = self._last.get(publisher)
        return key is not None and last is not None and last[1] == key

    def wait_ms(self, publisher: Hashable, pause_seconds: float) -> int:
        """Return how long the publisher has to wait; 0: it may publish.

        Args:
            publisher: in which channel, and who.
            pause_seconds: between two of its messages.
        """
        last = self._last.get(publisher)
        if last is None:
            return 0
        return max(0, ceil((last[0] + pause_seconds - self._clock()) * 1000))

    def note(self, publisher: Hashable, key: str | None) -> None:
        """Note that the publisher publishes now.

        Args:
            publisher: in which channel, and who.
            key: of its idempotency; None: it has none.
        """
        # Out and in again: the order is that of the times.
        self._last.pop(publisher, None)
        now = self._clock()
        self._last[publisher] = now, key
        while True:
            oldest = next(iter(self._last))
            outlived = self._last[oldest][0] < now - _LONGEST_PAUSE_SECONDS
            if not outlived and len(self._last) <= _PUBLISHERS_MAX:
                return
            del self._last[oldest]

    def forget(self, publisher: Hashable) -> None:
        """Let the publisher publish again: what was noted did not happen."""
        self._last.pop(publisher, None)


class ChannelRates:
    """How much of its rate each channel has used: the time until which it is used up.

    The generic cell rate algorithm: each message moves that time on by its share of a second, and
    it may be a second ahead.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used_until: dict[Hashable, int] = {}
        """In nanoseconds of the clock: whole ones, so that nothing is rounded away."""

    def wait_ms(self, channel: Hashable, per_second: int) -> int:
        """Return how long the next message of the channel has to wait; 0: it need not."""
        used = self._used_until.get(channel)
        if used is None:
            return 0
        ahead = used + _share(per_second) - self._now() - _SECOND
        return max(0, -(-ahead // 1_000_000))

    def note(self, channel: Hashable, per_second: int) -> None:
        """Count a message of the channel."""
        now = self._now()
        self._used_until[channel] = max(self._used_until.get(channel, now), now) + _share(
            per_second
        )

    def give_back(self, channel: Hashable, per_second: int) -> None:
        """Uncount a message: it was not published."""
        if channel in self._used_until:
            self._used_until[channel] -= _share(per_second)

    def forget(self, channel: Hashable) -> None:
        """Forget a channel, which has no rate any more."""
        self._used_until.pop(channel, None)

    def _now(self) -> int:
        return int(self._clock() * _SECOND)


def _share(per_second: int) -> int:
    return _SECOND // per_second
