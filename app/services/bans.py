"""Bans: placed and lifted by moderators, kept in memory by every process.

A ban holds in the process that placed it at once and in the others within a second. While the
database is away those that are known go on holding.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID, uuid4

from app.domain.ban import Ban, BanKey, BanRequest, identities
from app.domain.viewer import Permission, Viewer
from app.errors import BadUserInput
from app.services.following import Change, Followed
from app.services.rights import Rights, present_ms
from app.storage.bans import BanRecord, BanStore
from app.telemetry.log_fields import event

__all__ = ["BanService"]

logger = logging.getLogger(__name__)

_MAX_BANS: Final = 10_000
"""Bans in force in one project; each takes about 1 kB of every process."""


class BanService:
    """What moderators do about people."""

    def __init__(
        self,
        store: BanStore,
        rights: Rights,
        *,
        most: int = _MAX_BANS,
        now_ms: Callable[[], int] = present_ms,
    ) -> None:
        """Take the parts.

        Args:
            store: the table.
            rights: told of every change.
            most: how many bans a project may have in force.
            now_ms: the present, milliseconds since the Unix epoch.
        """
        self._store = store
        self._rights = rights
        self._most = most
        self._now_ms = now_ms
        self.followed: Followed[BanKey, Ban] = Followed("bans", self._above)
        """Follow them for changes of other processes, and for those that are there at start."""
        self.followed.listen(rights.changed)

    def present_ms(self) -> int:
        """Return the present, as bans are judged by it."""
        return self._now_ms()

    async def ban(self, viewer: Viewer, project_id: str, request: BanRequest) -> Ban:
        """Ban somebody from a project, in the place of an earlier ban of the same person.

        Args:
            viewer: a moderator of the project.
            project_id: whose channels.
            request: whom, how, until when and why.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            BadUserInput: it is a ban of oneself, or the project has 10,000 bans in force.
            Unavailable: the database is away; it may hold all the same, and may be sent again.
        """
        self._rights.require_in_project(viewer, Permission.MODERATE, project_id)
        if request.identity in identities(viewer):
            raise BadUserInput(
                f"input.{request.identity.kind} is your own; a ban of oneself is not allowed"
            )
        ban = Ban(
            str(uuid4()), project_id, request.identity, request.mode, request.until, request.reason
        )
        version = await self._store.place(ban, self._now_ms(), self._most)
        if version is None:
            raise BadUserInput(
                f"the project {project_id!r} has {self._most} bans in force, the most allowed; "
                "lift one, or let bans end by themselves with until"
            )
        self.followed.apply(Change(ban.key, ban, version))
        logger.info(
            "a person was banned from the project %s: %s",
            project_id,
            ban.mode,
            extra=event(
                "ban.made",
                project=project_id,
                ban=ban.id,
                mode=ban.mode.value,
                moderator=viewer.subject,
            ),
        )
        return ban

    async def unban(self, viewer: Viewer, project_id: str, ban_id: str) -> bool:
        """Lift a ban; return False where the project has none with this id in force.

        Args:
            viewer: a moderator of the project.
            project_id: whose ban.
            ban_id: as `ban` returned it.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            Unavailable: the database is away; it may be lifted all the same.
        """
        self._rights.require_in_project(viewer, Permission.MODERATE, project_id)
        try:
            known_as = str(UUID(ban_id))
        except ValueError:
            return False
        lifted = await self._store.lift(project_id, known_as, self._now_ms())
        if lifted is None:
            return False
        self.followed.apply(_change(lifted))
        logger.info(
            "a ban from the project %s was lifted",
            project_id,
            extra=event("ban.lifted", project=project_id, ban=known_as, moderator=viewer.subject),
        )
        return True

    async def bans(self, viewer: Viewer, project_id: str) -> Sequence[Ban]:
        """Return a project's bans in force, the newest first.

        Raises:
            Forbidden, Unauthenticated: the viewer may not moderate.
            Unavailable: the database is away.
        """
        self._rights.require_in_project(viewer, Permission.MODERATE, project_id)
        return await self._store.of_project(project_id, self._now_ms())

    async def _above(self, version: int) -> Sequence[Change[BanKey, Ban]]:
        return [_change(record) for record in await self._store.above(version)]


def _change(record: BanRecord) -> Change[BanKey, Ban]:
    ban = record.ban
    return Change(ban.key, None if record.gone else ban, record.version)
