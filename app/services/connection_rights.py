"""One connection's rights: what it listens to, and the end of that when the right to it is lost.

It is lost by a ban that kicks the viewer, or because a new token grants less than the one before.
"""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Final

from app.delivery.members import Member
from app.domain.channel import Channel
from app.domain.entry import Retraction
from app.domain.message import Message
from app.domain.viewer import Permission, Viewer
from app.errors import Forbidden, RightWithdrawn
from app.services.live.messages import Joined
from app.services.live.source import Respond, Source
from app.services.rights import Rights

__all__ = ["ConnectionRights", "Listening"]

logger = logging.getLogger(__name__)

_TO_LISTEN: Final = (Permission.SUBSCRIBE,)
_EARLY_MAX: Final = 100
"""Entries for this connection alone that wait for the end of one subscription's replay; what
comes beyond it is left out."""


class ConnectionRights:
    """What one connection listens to, and by whose rights.

    Args:
        rights: of the process.
        viewer: who is behind the connection.
    """

    __slots__ = ("_listening", "_rights", "_viewer")

    def __init__(self, rights: Rights, viewer: Viewer) -> None:
        self._rights = rights
        self._viewer = viewer
        self._listening: list[Listening] = []

    def listen(
        self, channel: Channel, member: Member, needed: Sequence[Permission] = _TO_LISTEN
    ) -> "Listening":
        """Return what stands for listening to a channel; call it when that is over.

        Args:
            channel: the service has been asked whether the viewer may.
            member: failed once if the right is lost.
            needed: what the viewer must be granted.

        Raises:
            Forbidden: the right was lost since the service has been asked.
        """
        listening = Listening(self, channel, member, needed)
        if (refusal := self._refusal(listening)) is not None:
            raise refusal
        if not self._listening:
            self._rights.watch(self._viewer, self)
        self._listening.append(listening)
        return listening

    def guarded(
        self, channel: Channel, source: Source, needed: Sequence[Permission] = _TO_LISTEN
    ) -> Source:
        """Return a source of the same that ends with FORBIDDEN when the right to it is lost.

        Args:
            channel: what the source is of.
            source: joined, not begun.
            needed: what the viewer must be granted.
        """
        return _GuardedSource(self, channel, source, needed)

    def replace(self, viewer: Viewer) -> None:
        """Take another viewer, and end what this one may not listen to. The rest goes on.

        Args:
            viewer: with a token: nobody becomes anonymous.
        """
        if self._listening:
            self._rights.unwatch(self._viewer, self)
            self._rights.watch(viewer, self)
        self._viewer = viewer
        for listening in tuple(self._listening):
            if (refusal := self._refusal(listening)) is not None:
                listening.withdraw(refusal)

    def kicked(self, project_id: str) -> None:
        """End what is listened to in a project, if the viewer is kicked from it."""
        if (refusal := self._rights.kicked_from(self._viewer, project_id)) is not None:
            for listening in tuple(self._listening):
                if listening.channel.project_id == project_id:
                    listening.withdraw(refusal)

    async def echo(self, entry: Message | Retraction) -> None:
        """Give an entry to this connection's own subscriptions to its channel, and to no other.

        Those that would not be given it if it were published are not; one that replays has it
        afterwards.
        """
        for listening in tuple(self._listening):
            if listening.channel == entry.channel:
                await listening.echo(entry)

    def _refusal(self, listening: "Listening") -> Forbidden | None:
        channel = listening.channel
        kicked = self._rights.kicked_from(self._viewer, channel.project_id)
        if kicked is not None:
            return kicked
        try:
            for permission in listening.needed:
                self._rights.require(self._viewer, permission, channel)
        except Forbidden as lost:
            return RightWithdrawn(lost.message)
        return None

    def forget(self, listening: "Listening") -> None:
        """Take note that it is over. Idempotent."""
        if listening in self._listening:
            self._listening.remove(listening)
            if not self._listening:
                self._rights.unwatch(self._viewer, self)


class Listening:
    """One subscription, or one legacy socket, of a connection. Call it to end it; idempotent."""

    __slots__ = ("_connection", "_early", "_leave", "_member", "channel", "needed")

    def __init__(
        self,
        connection: ConnectionRights,
        channel: Channel,
        member: Member,
        needed: Sequence[Permission],
    ) -> None:
        self.channel = channel
        self.needed = needed
        self._connection = connection
        self._member: Member | None = member
        self._leave: Callable[[], None] | None = None
        self._early: list[Message | Retraction] | None = None

    def __call__(self) -> None:
        """End it."""
        self._member = None
        self._connection.forget(self)
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    async def begun(self, leave: Callable[[], None]) -> None:
        """Take what ends it, now that its group has taken over."""
        self._leave = leave
        early, self._early = self._early, None
        for entry in early or ():
            await self.echo(entry)

    def withdraw(self, refusal: Forbidden) -> None:
        """Take away what is listened to."""
        member, self._member = self._member, None
        if member is None:
            return
        try:
            member.fail(refusal)
        except Exception:
            logger.exception("a subscription on %s could not be ended", self.channel.key)

    async def echo(self, entry: Message | Retraction) -> None:
        """Give one entry to whoever is behind it."""
        if isinstance(self._leave, Joined):
            try:
                await self._leave.give(entry)
            except Exception:
                # Whoever published it is answered all the same, as ever.
                logger.exception("a subscription on %s was not given a message", self.channel.key)
        elif self._leave is None and self._member is not None:
            self._early = self._early or []
            if len(self._early) < _EARLY_MAX:
                self._early.append(entry)


class _GuardedSource(Source):
    """A source that the rights of a connection watch over from its beginning to its end."""

    def __init__(
        self,
        rights: ConnectionRights,
        channel: Channel,
        source: Source,
        needed: Sequence[Permission],
    ) -> None:
        self._rights = rights
        self._channel = channel
        self._source = source
        self._needed = needed

    async def begin(self, key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        listening = self._rights.listen(self._channel, member, self._needed)
        try:
            await listening.begun(await self._source.begin(key, respond, member))
        except BaseException:
            listening()
            raise
        return listening

    def close(self) -> None:
        self._source.close()
