"""One connection's part in the counts: it counts once per channel."""

from collections.abc import Callable

from app.domain.channel import Channel
from app.services.presence import PresenceService

__all__ = ["ConnectionPresence"]


class ConnectionPresence:
    """One connection's part: it counts once per channel, however many subscriptions it has."""

    def __init__(self, presence: PresenceService) -> None:
        self._presence = presence
        self._subscriptions: dict[Channel, int] = {}

    def enter(self, channel: Channel) -> Callable[[], None]:
        """Take note of one more subscription; return what ends it. That is idempotent."""
        count = self._subscriptions.get(channel, 0)
        self._subscriptions[channel] = count + 1
        if not count:
            self._presence.join(channel)
        return _Once(self._leave, channel)

    def _leave(self, channel: Channel) -> None:
        count = self._subscriptions.get(channel, 0)
        if count == 1:
            del self._subscriptions[channel]
            self._presence.leave(channel)
        elif count:
            self._subscriptions[channel] = count - 1

    def close(self) -> None:
        """Leave all channels: the connection is gone. Idempotent."""
        for channel in self._subscriptions:
            self._presence.leave(channel)
        self._subscriptions.clear()


class _Once:
    """A call that happens at most once."""

    def __init__(self, leave: Callable[[Channel], None], channel: Channel) -> None:
        self._leave: Callable[[Channel], None] | None = leave
        self._channel = channel

    def __call__(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave(self._channel)
