"""What resolvers get as `info.context`."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from app.domain.viewer import Viewer
from app.peer import UNKNOWN_PEER, Peer
from app.services.answers import Answers
from app.services.bans import BanService
from app.services.channels import ChannelService
from app.services.client_ids import ClientIds, SignedClient
from app.services.connection_presence import ConnectionPresence
from app.services.connection_rights import ConnectionRights
from app.services.deletion import DeletionService
from app.services.held import HeldService
from app.services.live.results import LiveResults
from app.services.messages import MessageService
from app.services.open_filters import ConnectionFilters, OpenFilters
from app.services.policies import PolicyService
from app.services.presence import PresenceService
from app.services.rights import Rights
from app.services.searching import Searching

__all__ = ["Context", "Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """All that can be done, whoever asks."""

    messages: MessageService
    presence: PresenceService
    live_results: LiveResults
    answers: Answers
    filters: OpenFilters = field(default_factory=OpenFilters)
    deletion: DeletionService = field(kw_only=True)
    channels: ChannelService = field(kw_only=True)
    policies: PolicyService = field(kw_only=True)
    client_ids: ClientIds = field(kw_only=True)
    bans: BanService = field(kw_only=True)
    held: HeldService = field(kw_only=True)
    rights: Rights = field(default_factory=Rights, kw_only=True)


@dataclass(slots=True)
class Context:
    """Who asks, and what can be done: one a request, or one a connection."""

    viewer: Viewer
    services: Services
    asker: Hashable = None
    """Equal for all that one connection asks; None: not known."""
    answered: Searching | None = None
    """Answers in the place of the service: for a response that is made of known reads."""
    private: bool = False
    """Whether an answer has what is for this asker alone: it is kept nowhere."""
    peer: Peer = UNKNOWN_PEER
    """Who is at the other end."""
    resume_after: str | None = None
    """A cursor that the client has come to already, whatever its arguments say."""
    authenticate: Callable[[str], Awaitable[None]] | None = None
    """Replaces the viewer by the holder of a new token; None: its transport cannot."""
    connection: ConnectionPresence = field(init=False)
    """Counts in each channel that the request or connection subscribes to."""

    filters: ConnectionFilters = field(init=False)
    """What the filters of its subscriptions hold in memory."""
    _new_client_id: str | None = field(default=None, init=False)

    rights: ConnectionRights = field(init=False)
    """What it listens to, which ends when the right to it is lost."""

    def __post_init__(self) -> None:
        self.connection = ConnectionPresence(self.services.presence)
        self.filters = ConnectionFilters(self.services.filters)
        self.rights = ConnectionRights(self.services.rights, self.viewer)

    def client(self) -> SignedClient | None:
        """Return the viewer's client id with a token that is good from now on.

        A viewer without is given one, the same however often this context is asked. None: a
        token's subject names the viewer already.
        """
        client_ids = self.services.client_ids
        if self._new_client_id is not None:
            return client_ids.signed(self._new_client_id)
        client = client_ids.offered(self.viewer)
        if client is not None:
            self._new_client_id = client.id
        return client

    def replace_viewer(self, viewer: Viewer) -> None:
        """Take another viewer: for what is asked from now on, and what is listened to already.

        Args:
            viewer: with a token. The client id that the server signed is to be the same.
        """
        if viewer.subject is not None:
            self._new_client_id = None
        self.viewer = viewer
        self.rights.replace(viewer)

    def close(self) -> None:
        """Give up the places in the counts, and the memory of filters. Idempotent."""
        self.connection.close()
        self.filters.close()
