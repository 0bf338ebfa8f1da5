"""What the transports need of the schema's context, whichever schema it is."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from app.domain.viewer import Viewer
from app.peer import Peer

__all__ = ["ContextFactory", "OperationContext", "ViewerOf"]


class OperationContext(Protocol):
    """What resolvers get as `info.context`: one a request, or one a connection."""

    viewer: Viewer
    """Who asks."""

    authenticate: Callable[[str], Awaitable[None]] | None
    """Replaces the viewer by the holder of a new token; None: its transport cannot."""

    private: bool
    """Whether an answer has what is for this asker alone: it is kept nowhere."""

    resume_after: str | None
    """A cursor that the client has come to already, whatever its arguments say."""

    peer: Peer
    """Who is at the other end."""

    def replace_viewer(self, viewer: Viewer) -> None:
        """Take another viewer, and end the subscriptions that this one may not have."""

    def close(self) -> None:
        """Let go of what the context holds, its place in the presence counts above all."""


ContextFactory: TypeAlias = Callable[[Viewer, bool, Peer], OperationContext]
"""Makes a context for a viewer; the flag says whether it lives as long as a connection; the peer is
who is at its other end."""

ViewerOf: TypeAlias = Callable[[str | None, str | None], Viewer]
"""Turns a token and a client token into a viewer or raises `Unauthenticated`:
`Authenticator.viewer`."""
