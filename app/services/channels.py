"""The channels of a project, for whoever looks after them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.domain.channel import Channel, checked_project_id, checked_widget_id
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput, UnknownCursor, shown
from app.services.presence import PresenceService
from app.services.rights import Rights
from app.storage.channels import ChannelStore

__all__ = ["ChannelService", "ChannelSummary"]

_MAX_LIMIT: Final = 1000


@dataclass(frozen=True, slots=True)
class ChannelSummary:
    """One channel at a moment."""

    project_id: str
    widget_id: str
    messages: int
    """Stored now."""
    connections: int
    last_created: int | None
    """When the newest message was published, deleted or not; None: none ever was."""


class ChannelService:
    """Lists channels."""

    def __init__(
        self, store: ChannelStore, presence: PresenceService, rights: Rights | None = None
    ) -> None:
        """Take the parts.

        Args:
            store: knows the channels.
            presence: counts who is there.
            rights: of the process; None: nobody is ever banned.
        """
        self._store = store
        self._presence = presence
        self._rights = rights or Rights()

    async def most_recent(
        self, viewer: Viewer, project_id: str, *, limit: int, after: str | None = None
    ) -> Sequence[ChannelSummary]:
        """Return a project's channels, the most recently written first, ties by name.

        Those that somebody is connected to and nobody ever wrote to come last.

        Args:
            viewer: who asks; needs the right to moderate.
            project_id: whose.
            limit: 1 to 1000.
            after: a widget of the project: only what comes after it, by where it stands now. One
                that is written to while somebody pages comes first again.

        Raises:
            Forbidden, Unauthenticated: the viewer may not.
            BadUserInput: an argument is out of its bounds.
            UnknownCursor: the project has no channel `after`.
            Unavailable: the database is away.
        """
        checked_project_id(project_id)
        self._rights.require_in_project(viewer, Permission.MODERATE, project_id)
        if not 1 <= limit <= _MAX_LIMIT:
            raise BadUserInput(f"limit is {limit}; allowed: whole numbers from 1 to {_MAX_LIMIT}")
        cursor: Channel | None = None
        if after is not None:
            cursor = Channel(project_id, checked_widget_id("after", after))
            if not await self._store.knows(cursor):
                raise UnknownCursor(
                    f"after is {shown(after)}; expected the widgetId of a channel of this project"
                )
        known = await self._store.most_recent(project_id, limit, cursor)
        counts = await self._presence.counts([one.channel for one in known])
        return [
            ChannelSummary(
                one.channel.project_id,
                one.channel.widget_id,
                one.messages,
                counts[one.channel],
                one.last_created,
            )
            for one in known
        ]
