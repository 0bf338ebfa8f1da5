"""Held messages: kept until a moderator approves or rejects them."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from app.domain.channel import Channel
from app.domain.message import Draft, Message
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput
from app.services.live.held import HeldSource, LiveHeld
from app.services.live.patience import patiently
from app.services.message_ids import checked_ids
from app.services.rights import Rights
from app.storage.held import HeldMessages
from app.storage.held_writer import HeldWriter
from app.telemetry.log_fields import event

__all__ = ["HeldService"]

logger = logging.getLogger(__name__)

_LISTED_MAX: Final = 1_000


class HeldService:
    """What becomes of messages that wait."""

    def __init__(
        self,
        *,
        writer: HeldWriter,
        store: HeldMessages,
        live: LiveHeld,
        rights: Rights | None = None,
    ) -> None:
        """Take the parts.

        Args:
            writer: keeps new ones.
            store: has those that wait.
            live: tells of new ones.
            rights: of the process; None: nobody is ever banned.
        """
        self._writer = writer
        self._store = store
        self._live = live
        self._rights = rights or Rights()

    async def hold(self, draft: Draft) -> Message:
        """Keep an accepted message until a moderator looks at it; return it once it is committed.

        Under a key that its publisher has used before: with KEEP the message published under it,
        else the one that waits, is returned; with REPLACE the draft takes the place of the one
        that waits, and once it is approved that of the published one.

        Raises:
            Rejected: a moderator has retracted what was published under the key.
            Unavailable: as many wait as may, or the database is away; retry later, with the same
                key.
        """
        return await self._writer.write(draft)

    async def withdraw(self, channel: Channel, ids: Sequence[str], publisher: str | None) -> int:
        """Delete those of some messages that wait; return how many.

        Args:
            channel: where.
            ids: of messages, as UUIDs.
            publisher: only this one's, as `Viewer.publisher` says it; None: anybody's.

        Raises:
            Unavailable: the database is away. It may have happened; to ask again does no harm.
        """
        if publisher is None:
            return await self._store.reject(channel, ids)
        return await self._store.withdraw(channel, ids, publisher)

    async def waiting(self, viewer: Viewer, channel: Channel, limit: int) -> Sequence[Message]:
        """Return the messages that wait, oldest first.

        Args:
            viewer: a moderator.
            channel: where.
            limit: the most to return, 1 to 1,000.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            BadUserInput: `limit` is out of bounds.
            Unavailable: the database is away.
        """
        self._rights.require(viewer, Permission.MODERATE, channel)
        if not 1 <= limit <= _LISTED_MAX:
            raise BadUserInput(f"limit is {limit}; allowed are 1 to {_LISTED_MAX}")
        return [message for _, message in await self._store.after(channel, 0, limit)]

    async def listen(self, viewer: Callable[[], Viewer], channel: Channel) -> HeldSource:
        """Return the source of those that wait, oldest first, and then of each that arrives.

        It ends with `Forbidden` when the viewer may not moderate any more.

        Args:
            viewer: who listens now, a moderator; a connection's viewer may be replaced.
            channel: where.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            Unavailable: the database has been away for 30 s.
        """

        def may_moderate() -> None:
            self._rights.require(viewer(), Permission.MODERATE, channel)

        may_moderate()
        return await patiently(partial(self._live.source, channel, may_moderate))

    async def approve(self, viewer: Viewer, channel: Channel, ids: Sequence[str]) -> int:
        """Publish messages that wait, in the order of `ids`; return how many.

        Args:
            viewer: a moderator.
            channel: where.
            ids: 1 to 1,000. What does not wait, or not any more, is not counted; neither is one
                whose key its publisher has used, or a moderator spent, since it came: it is
                dropped.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            BadUserInput: `ids` is out of bounds.
            Unavailable: the database is away; to ask again does no harm.
        """
        self._rights.require(viewer, Permission.MODERATE, channel)
        approved = await self._store.approve(channel, checked_ids(ids))
        _log_moderated("held.approved", viewer, channel, approved)
        return approved

    async def reject(self, viewer: Viewer, channel: Channel, ids: Sequence[str]) -> int:
        """Delete messages that wait; return how many. Their publishers may use the keys again.

        Args:
            viewer: a moderator.
            channel: where.
            ids: 1 to 1,000. What does not wait, or not any more, is not counted.

        Raises: as `approve`.
        """
        self._rights.require(viewer, Permission.MODERATE, channel)
        rejected = await self._store.reject(channel, checked_ids(ids))
        _log_moderated("held.rejected", viewer, channel, rejected)
        return rejected


def _log_moderated(what: str, viewer: Viewer, channel: Channel, messages: int) -> None:
    logger.info(
        "messages of %s that waited were looked at",
        channel.key,
        extra=event(what, channel=channel.key, messages=messages, moderator=viewer.subject),
    )
