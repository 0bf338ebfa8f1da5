"""Deleting messages for good: whoever may asks for it, and nothing shows them any more."""

import logging
import time
from collections.abc import Hashable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.query import Filter, MessageQuery
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput, Unavailable
from app.services.rights import Rights
from app.storage.deletion import HELD, MESSAGES, TRACES, Find, MessageDeletion
from app.storage.head_looks import Heads
from app.telemetry.log_fields import event

__all__ = ["DeletionService", "Finding"]

logger = logging.getLogger(__name__)

_TELL_SECONDS: Final = 0.5
"""How often a deletion that goes on is told of: live results are read again each time."""


class Finding(Protocol):
    """Searches for what is to be deleted."""

    async def sequences(
        self, channel: Channel, query: MessageQuery, after: int, limit: int
    ) -> list[int]:
        """Return the places of the first messages that match, in publish order."""

    def asked_by(self, asker: Hashable) -> "Finding":
        """Return the search for one request of somebody who waits in a line of their own."""


class DeletionService:
    """Deletes messages of channels."""

    def __init__(
        self,
        hub: Hub,
        history: Heads,
        search: Finding,
        deletion: MessageDeletion,
        rights: Rights | None = None,
    ) -> None:
        """Take the parts.

        Args:
            hub: tells this process, and the others, of what was deleted.
            history: tells where channels end.
            search: finds what matches, within the bounds of searches.
            deletion: deletes.
            rights: of the process; None: nobody is ever banned.
        """
        self._hub = hub
        self._history = history
        self._search = search
        self._deletion = deletion
        self._rights = rights or Rights()
        self._closed = False

    def close(self) -> None:
        """End every deletion after the batch that is under way. Idempotent."""
        self._closed = True

    async def delete_messages(
        self,
        viewer: Viewer,
        channel: Channel,
        filters: tuple[Filter, ...] = (),
        asker: Hashable = None,
    ) -> int:
        """Delete the stored messages that match now; return how many it has deleted.

        What is published meanwhile stays. A batch at a time is deleted, and each is final:
        where this fails in between, the error says how many are gone, and to ask again deletes
        the rest. When it returns, nothing that this process shows has them; elsewhere within a
        second.

        Args:
            viewer: who asks; needs the right to administer.
            channel: whose messages.
            filters: all must hold; none: every message, and what waits for a moderator, which is
                not counted.
            asker: the connection that a viewer without a subject asks by; None: not known.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput: it would read more messages than a search may; nothing is deleted.
            Unavailable: the database is away or overloaded, or this process is ending.
        """
        self._rights.require(viewer, Permission.ADMIN, channel)
        began = time.monotonic()
        whole = False
        try:
            deleted = await self._delete_matching(viewer, channel, filters, asker)
            whole = True
        finally:
            logger.info(
                "messages of %s were deleted%s",
                channel.key,
                "" if whole else ", not all that were asked for",
                extra=event(
                    "messages.deleted",
                    channel=channel.key,
                    messages=deleted if whole else None,
                    filters=len(filters),
                    seconds=time.monotonic() - began,
                    moderator=viewer.subject,
                ),
            )
        return deleted

    async def _delete_matching(
        self, viewer: Viewer, channel: Channel, filters: tuple[Filter, ...], asker: Hashable
    ) -> int:
        head = (await self._history.heads([channel]))[channel]
        if not filters:
            held = await self._deletion.last_held(channel)
            return await self.delete_up_to(channel, head.sequence, held=held)
        search = self._search.asked_by(viewer.publisher or asker)
        query = MessageQuery(filters=filters, up_to=head.sequence)

        async def find(after: int, limit: int) -> list[int]:
            return await search.sequences(channel, query, after, limit)

        return await self._delete(channel, [(MESSAGES, find)])

    async def delete_up_to(
        self,
        channel: Channel,
        sequence: int,
        *,
        held: int = 0,
        rest: float = 1.0,
        most: int | None = None,
    ) -> int:
        """Delete all that a channel has up to a place; return how many messages that were.

        With them goes what is left of messages that were retracted: their ids are no cursors any
        more, and keys that were spent are free.

        Args:
            channel: whose.
            sequence: inclusive.
            held: the number of the last arrival that is deleted of what waits; 0: none is.
            rest: as `MessageDeletion.batches` takes it.
            most: stop after a batch when so many messages are deleted; None: when all are.

        Raises:
            Unavailable: as `delete_messages`.
        """
        tables = (MESSAGES, *TRACES)
        finds = [(table, self._deletion.up_to(channel, sequence, table)) for table in tables]
        if held:
            finds.append((HELD, self._deletion.up_to(channel, held, HELD)))
        return await self._delete(channel, finds, rest, most)

    async def _delete(
        self,
        channel: Channel,
        finds: Sequence[tuple[str, Find]],
        rest: float = 1.0,
        most: int | None = None,
    ) -> int:
        """Delete what is found in each table, and tell everybody."""
        deleted = 0
        told_at = time.monotonic()
        try:
            for table, find in finds:
                found = self._deletion.batches(channel, find, table=table, rest=rest)
                async with aclosing(found) as batches:
                    async for batch in batches:
                        deleted += batch if table == MESSAGES else 0
                        if self._closed:
                            raise Unavailable("the server is restarting")
                        if most is not None and deleted >= most:
                            return deleted
                        if time.monotonic() - told_at > _TELL_SECONDS:
                            await self._hub.publish_deleted(channel)
                            told_at = time.monotonic()
        except Unavailable as error:
            raise Unavailable(
                f"{error.message}; {deleted} messages were deleted before, and the next ones may "
                "have been: ask again to delete the rest",
                error.retry_after_ms,
            ) from error
        except BadUserInput as error:
            if not deleted:
                raise
            raise BadUserInput(
                f"{error.message}; {deleted} messages were deleted before"
            ) from error
        finally:
            # Also where it was cancelled or failed: what is gone is gone.
            await self._hub.publish_deleted(channel)
        return deleted
