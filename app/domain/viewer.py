"""The viewer: who is asking, and what they may do. One place decides."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.domain.channel import Channel, checked_client_id
from app.errors import Forbidden, Unauthenticated, shown

__all__ = ["DEFAULT_PERMISSIONS", "SIGNED_PREFIX", "Permission", "Viewer"]

SIGNED_PREFIX: Final = "signed-"
"""How client ids begin that the server made and signed; nobody else may use such a one."""


class Permission(StrEnum):
    """What a token may grant."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    SEARCH = "search"
    MODERATE = "moderate"
    ADMIN = "admin"
    """Includes `moderate`."""


DEFAULT_PERMISSIONS: Final = frozenset(
    {Permission.PUBLISH, Permission.SUBSCRIBE, Permission.SEARCH}
)
"""What a token without `permissions` grants."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A verified identity or an anonymous one."""

    username: str | None
    permissions: frozenset[Permission]
    projects: frozenset[str] | None = None
    """The projects that may be touched; None: all."""
    subject: str | None = None
    """The token's `sub`; None for an anonymous viewer and for tokens without one."""
    expires_at: float | None = None
    """Seconds since the Unix epoch after which the rights are gone; None: never."""
    anonymous: bool = False
    client_id: str | None = None
    """The client id that the server signed and whose token came along; None: none did."""

    @property
    def publisher(self) -> str | None:
        """Who publishes, as the server knows it: a kind, a colon, a name; None: it does not.

        A token's subject, else the client id that the server signed. The kind keeps names apart
        that are given by different parties: a token's subject is never taken for an id that the
        server signed, nor for one that a client claims.
        """
        if self.subject is not None:
            return f"sub:{self.subject}"
        return None if self.client_id is None else f"signed:{self.client_id}"

    def may(self, permission: Permission) -> bool:
        """Return whether the viewer has a permission, in the projects that it may touch.

        Nobody moderates without a token, whatever the server allows anonymous viewers.
        """
        if permission is Permission.MODERATE or permission is Permission.ADMIN:
            granted = permission in self.permissions or Permission.ADMIN in self.permissions
            return granted and not self.anonymous
        return permission in self.permissions

    def require(self, permission: Permission, channel: Channel) -> None:
        """Return if the viewer may do this in that channel.

        Raises:
            Unauthenticated: nobody without a token may.
            Forbidden: the token does not grant it.
        """
        self.require_in_project(permission, channel.project_id)

    def require_in_project(self, permission: Permission, project_id: str) -> None:
        """Return if the viewer may do this in that project.

        Raises: as `require`.
        """
        if not self.may(permission):
            if self.anonymous:
                raise Unauthenticated(
                    "authentication required: send a token with the permission "
                    f"{permission.value!r}"
                )
            raise Forbidden(f"the token does not grant the permission {permission.value!r}")
        if self.projects is not None and project_id not in self.projects:
            raise Forbidden(f"the token does not grant the project {project_id!r}")

    def claimed_client_id(self, argument: str, client_id: str) -> str:
        """Return a client id as the viewer claims it, if it may publish by that.

        Args:
            argument: its name in the request, for the error.
            client_id: what came.

        Raises:
            BadUserInput: it is not 1 to 128 printable characters.
            Forbidden: the server signed it, and its token did not come along.
        """
        checked_client_id(argument, client_id)
        if client_id.startswith(SIGNED_PREFIX) and client_id != self.client_id:
            raise Forbidden(
                f"{argument} is {shown(client_id)}; ids that begin with {SIGNED_PREFIX!r} are "
                "reserved: send the client token of this id, or choose another id"
            )
        return client_id
