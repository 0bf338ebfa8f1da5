"""What a channel gives to those who listen: messages, retractions, changes of its policy.

Messages and retractions that are stored have a place each in the channel's one order.
"""

from dataclasses import dataclass
from typing import TypeAlias

from app.domain.channel import Channel
from app.domain.message import Message

__all__ = ["CaughtUp", "Entry", "PolicyChange", "Retraction", "StoredEntry"]

_ID_BYTES = 100


@dataclass(frozen=True, slots=True)
class Retraction:
    """Stored messages were taken back: they are in no search, replay or result any more."""

    channel: Channel
    sequence: int
    """Its own place in the channel's order."""
    id: str
    """Its own id, a cursor like a message's."""
    created: int
    """Milliseconds since the Unix epoch."""
    ids: tuple[str, ...]
    """Of the messages that were retracted."""
    reason: str | None = None
    removed: tuple[Message, ...] | None = None
    """What was retracted, as it was; None: not at hand. Never shown, never kept: what was made
    of the messages is undone with it."""

    @property
    def size(self) -> int:
        """Bytes of what it holds: what queues of entries are bounded by."""
        return _ID_BYTES * len(self.ids) + sum(message.size for message in self.removed or ())


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """A channel's policy is another from now on. It has no place in the order."""

    channel: Channel
    policy_json: bytes
    """The new policy, as GraphQL's `ChannelPolicy` with all its fields."""

    @property
    def sequence(self) -> None:
        """None: it is not stored."""
        return None

    @property
    def size(self) -> int:
        """Bytes of what it holds."""
        return len(self.policy_json)


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """All that was stored before now was given; for one listener, not of the channel."""

    cursor: str | None
    """Of the last of it; None: nothing is stored."""


StoredEntry: TypeAlias = Message | Retraction
"""What has a place in a channel's order."""
Entry: TypeAlias = StoredEntry | PolicyChange
"""What a channel gives."""
