"""Sources, groups and members: the one way by which anything live reaches a client.

A source is what can be listened to: a channel's messages, its connection count, the result of
a query. A group is everybody who wants the same bytes of the same source: they are made once.
A member is given bytes: an operation on a GraphQL socket, an event stream, a legacy socket.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from typing import Any, NoReturn, TypeAlias

from app.delivery.members import Member

__all__ = ["Respond", "Source"]

Respond: TypeAlias = Callable[[Any], bytes | Awaitable[bytes]]
"""Makes the bytes of one event of a source, for all members of a group."""


class Source(ABC):
    """Something that was joined: from here on nothing is missed. Deliver it or close it."""

    @abstractmethod
    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        """Give the member what comes first, then let its group go on; return what ends that.

        What comes first (stored messages, the present value) is given at the member's pace.
        Between its last byte and the group's first there is no await, so no gap or repeat.

        Args:
            key: equal for members whose bytes are the same.
            respond: makes them; that of the group's first member serves all.
            member: a new one.

        Raises:
            SubscriberTooSlow: the member did not read what came first.
            Unavailable: the database stayed away meanwhile.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of a source that was never begun, or failed to. Idempotent."""

    def __aiter__(self) -> AsyncIterator[NoReturn]:
        """Refuse: GraphQL takes an iterable for a subscription's source; ours gives."""
        raise TypeError("a source gives to a member, it is not iterated")
