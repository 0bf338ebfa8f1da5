"""Rights: what a viewer may do now. The token grants them, bans take them away.

Every service asks here, so a ban holds whatever transport somebody comes by, and for whoever is
connected already: a token that was verified an hour ago grants what it did, and the ban counts.
Nothing waits, and in a project without bans it costs one look-up.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from app.domain.ban import Ban, BanKey, BanMode, Identity, IdentityKind, identities, strictest
from app.domain.channel import Channel
from app.domain.viewer import Permission, Viewer
from app.errors import Forbidden
from app.services.watchers import Watchers

__all__ = ["Rights", "Watching", "present_ms"]

_AT_ONCE: Final = 50
"""Connections of one person that are told in one turn of the loop: a millisecond or two."""


def present_ms() -> int:
    """Return the present: milliseconds since the Unix epoch."""
    return int(time.time() * 1000)


class Watching(Protocol):
    """A connection that is told of bans."""

    def kicked(self, project_id: str) -> None:
        """Take note that there is a ban with KICK of somebody it may be about. Must not raise."""


class _ProjectBans:
    """The bans of one project, by what each names: three look-ups tell about a viewer."""

    __slots__ = ("_by_kind", "_client_ids", "_subs", "_usernames")

    def __init__(self) -> None:
        self._usernames: dict[str | None, Ban] = {}
        self._subs: dict[str | None, Ban] = {}
        self._client_ids: dict[str | None, Ban] = {}
        self._by_kind = {
            IdentityKind.USERNAME: self._usernames,
            IdentityKind.SUB: self._subs,
            IdentityKind.CLIENT_ID: self._client_ids,
        }

    def __bool__(self) -> bool:
        return bool(self._usernames or self._subs or self._client_ids)

    def put(self, identity: Identity, ban: Ban | None) -> None:
        """Set the ban of somebody, or remove it."""
        if ban is None:
            self._by_kind[identity.kind].pop(identity.name, None)
        else:
            self._by_kind[identity.kind][identity.name] = ban

    def about(self, viewer: Viewer, now_ms: Callable[[], int]) -> Ban | None:
        """Return the ban that counts for a viewer; None: there is none in force."""
        # Nobody is named None.
        by_username = self._usernames.get(viewer.username)
        by_sub = self._subs.get(viewer.subject)
        by_client_id = self._client_ids.get(viewer.client_id)
        if by_username is by_sub is by_client_id is None:
            return None
        now = now_ms()
        return strictest(
            ban
            for ban in (by_username, by_sub, by_client_id)
            if ban is not None and ban.holds_at(now)
        )


class Rights:
    """What viewers may do, as this process knows the bans.

    Args:
        now_ms: the present, milliseconds since the Unix epoch.
    """

    def __init__(self, now_ms: Callable[[], int] = present_ms) -> None:
        self._now_ms = now_ms
        self._bans: dict[str, _ProjectBans] = {}
        """By project; those whose time is over until they are found to be gone."""
        self._watching: Watchers[Identity, Watching] = Watchers()
        self._untold: deque[tuple[Watching, str]] = deque()
        self._telling: asyncio.Handle | None = None

    def require(self, viewer: Viewer, permission: Permission, channel: Channel) -> None:
        """Return if the viewer may do this in that channel now.

        Raises:
            Unauthenticated: nobody without a token may.
            Forbidden: the token does not grant it, or the viewer is banned.
        """
        self.require_in_project(viewer, permission, channel.project_id)

    def require_in_project(self, viewer: Viewer, permission: Permission, project_id: str) -> None:
        """Return if the viewer may do this in that project now. Raises as `require`."""
        viewer.require_in_project(permission, project_id)
        ban = self._ban_of(viewer, project_id)
        if ban is not None and ban.takes(permission):
            raise Forbidden(ban.refusal())

    def shadows(self, viewer: Viewer, channel: Channel) -> bool:
        """Return whether nobody else is to hear what the viewer publishes there."""
        ban = self._ban_of(viewer, channel.project_id)
        return ban is not None and ban.mode is BanMode.SHADOW

    def kicked_from(self, viewer: Viewer, project_id: str) -> Forbidden | None:
        """Return why a viewer may not even listen in a project; None: no ban takes that away."""
        ban = self._ban_of(viewer, project_id)
        if ban is None or not ban.takes(Permission.SUBSCRIBE):
            return None
        return Forbidden(ban.refusal())

    def watch(self, viewer: Viewer, connection: Watching) -> None:
        """Tell a connection when there is a ban of its viewer with KICK, until `unwatch`.

        A viewer who is not known by anything costs nothing: no ban is about them.
        """
        for identity in identities(viewer):
            self._watching.add(identity, connection)

    def unwatch(self, viewer: Viewer, connection: Watching) -> None:
        """Tell it no more. Idempotent."""
        for identity in identities(viewer):
            self._watching.remove(identity, connection)

    def changed(self, key: BanKey, ban: Ban | None) -> None:
        """Take a ban as it is now.

        Args:
            key: which.
            ban: None: it was lifted, or is over.
        """
        bans = self._bans.get(key.project_id)
        if bans is None:
            bans = self._bans[key.project_id] = _ProjectBans()
        bans.put(key.identity, ban)
        if not bans:
            del self._bans[key.project_id]
        if ban is not None and ban.mode is BanMode.KICK:
            connections = self._watching.of(key.identity)
            self._untold.extend((connection, key.project_id) for connection in connections)
            if self._telling is None:
                self._tell()

    def _ban_of(self, viewer: Viewer, project_id: str) -> Ban | None:
        bans = self._bans.get(project_id)
        return None if bans is None else bans.about(viewer, self._now_ms)

    def _tell(self) -> None:
        """Tell some of the connections now, and the others in the next turns of the loop."""
        self._telling = None
        for _ in range(min(_AT_ONCE, len(self._untold))):
            connection, project_id = self._untold.popleft()
            connection.kicked(project_id)
        if self._untold:
            self._telling = asyncio.get_running_loop().call_soon(self._tell)
