"""What somebody shadowed publishes: answered as ever, and given to nobody else.

Nothing is stored. Everything that is checked before a message is published, the channel's policy
above all, has been checked.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from app.domain.channel import Channel
from app.domain.entry import Retraction
from app.domain.message import Draft, Message
from app.domain.viewer import Viewer
from app.services.recent_messages import RecentMessages
from app.services.shadow_ids import ShadowIds
from app.storage.earlier import EarlierMessages

__all__ = ["Echo", "ShadowMessages"]

Echo: TypeAlias = Callable[[Message | Retraction], Awaitable[None]]
"""Gives an entry to the publisher's own connection, and to no other."""

_NO_PLACE: Final = 0
"""Of what looks stored and is not."""
_TAKEN_BACK_MAX: Final = 10_000


class ShadowMessages:
    """The messages that only their publishers know of."""

    def __init__(
        self,
        ids: ShadowIds,
        earlier: EarlierMessages,
        last_created: Callable[[Channel], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the parts.

        Args:
            ids: makes and knows their ids.
            earlier: what the publisher has stored before.
            last_created: tells the newest `created` of a channel: no message is older.
            clock: seconds since the Unix epoch.
        """
        self._ids = ids
        self._earlier = earlier
        self._last_created = last_created
        self._clock = clock
        self._recent = RecentMessages()
        self._taken_back: dict[str, None] = {}

    async def publish(
        self, viewer: Viewer, draft: Draft, echo: Echo | None, *, persistent: bool, held: bool
    ) -> Message | None:
        """Return the message as if it were published; None: its key is spent.

        Args:
            viewer: who publishes.
            draft: accepted.
            echo: where else it goes; None: nowhere.
            persistent: whether it is to look stored.
            held: whether it is to look as if it waited for a moderator.

        Raises:
            Unavailable: what is stored under the key cannot be read now.
        """
        replaces = draft.retraction_id is not None
        first = self._recent.first(draft)
        if first is None and persistent and draft.idempotency_key is not None:
            earlier = await self._earlier.of_key(draft)
            if earlier.spent:
                return None
            first = earlier.message
        if first is not None and not replaces:
            return first
        message = self._placed(viewer, draft, persistent=persistent, held=held)
        self._recent.add(draft, message)
        if echo is not None and not held:
            if first is not None and not first.held:
                await echo(self._retraction(viewer, draft.channel, (first.id,), None))
            await echo(message)
        return message

    async def retract(
        self,
        viewer: Viewer,
        channel: Channel,
        ids: Sequence[str],
        reason: str | None,
        echo: Echo | None,
    ) -> list[str]:
        """Take messages back, and return which of the ids were those of such messages.

        Args:
            viewer: who has published them.
            channel: where.
            ids: of any messages.
            reason: told to the publisher's own connection.
            echo: where that is; None: nowhere.
        """
        known = [
            one
            for one in ids
            if one not in self._taken_back and self._ids.knows(viewer, channel, one)
        ]
        if known:
            self._taken_back.update(dict.fromkeys(known))
            while len(self._taken_back) > _TAKEN_BACK_MAX:
                del self._taken_back[next(iter(self._taken_back))]
            if echo is not None:
                await echo(self._retraction(viewer, channel, tuple(known), reason))
        return known

    async def place_of(self, viewer: Viewer, channel: Channel, cursor: str) -> int | None:
        """Return where to go on after such a message; None: the cursor is none.

        Raises:
            Unavailable: the database is away.
        """
        if not self._ids.knows(viewer, channel, cursor):
            return None
        return await self._earlier.place_of(channel, cursor)

    def _placed(self, viewer: Viewer, draft: Draft, *, persistent: bool, held: bool) -> Message:
        return Message(
            channel=draft.channel,
            sequence=_NO_PLACE if persistent and not held else None,
            id=self._ids.new(viewer, draft.channel),
            client_id=draft.client_id,
            created=self._now(draft.channel),
            username=draft.username,
            data_json=draft.data_json,
            publisher=draft.publisher,
            held=held,
        )

    def _retraction(
        self, viewer: Viewer, channel: Channel, ids: tuple[str, ...], reason: str | None
    ) -> Retraction:
        cursor = self._ids.new(viewer, channel)
        return Retraction(channel, _NO_PLACE, cursor, self._now(channel), ids, reason)

    def _now(self, channel: Channel) -> int:
        return max(int(self._clock() * 1000), self._last_created(channel))
