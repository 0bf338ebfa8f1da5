"""One connection's part in the counts."""

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.services.connection_presence import ConnectionPresence
from app.services.presence import PresenceService
from app.storage.database import Database
from app.storage.history import MessageHistory
from app.storage.presence import PresenceStore

pytestmark = pytest.mark.anyio

ONE, TWO = Channel("project", "one"), Channel("project", "two")
VIEWER = Viewer(None, DEFAULT_PERMISSIONS)
PROCESS = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def presence(database: Database) -> PresenceService:
    """The counts of this process; what others count is nobody's business here."""
    hub = Hub(Bus(MemoryBackend(), PROCESS), MessageHistory(database))
    return PresenceService(hub, PresenceStore(database, PROCESS, 60))


async def counts(presence: PresenceService) -> list[int]:
    return [await presence.count(VIEWER, channel) for channel in (ONE, TWO)]


async def test_it_counts_once_in_each_channel(presence: PresenceService) -> None:
    connection = ConnectionPresence(presence)
    leave_one, leave_again, leave_two = map(connection.enter, (ONE, ONE, TWO))
    assert await counts(presence) == [1, 1]
    leave_one()
    leave_two()
    assert await counts(presence) == [1, 0]
    leave_again()
    assert await counts(presence) == [0, 0]


async def test_each_of_two_connections_counts(presence: PresenceService) -> None:
    first, second = ConnectionPresence(presence), ConnectionPresence(presence)
    leave = first.enter(ONE)
    second.enter(ONE)
    assert await counts(presence) == [2, 0]
    leave()
    assert await counts(presence) == [1, 0]
    second.close()
    assert await counts(presence) == [0, 0]


async def test_closing_leaves_every_channel_and_what_ends_later_changes_nothing(
    presence: PresenceService,
) -> None:
    connection, other = ConnectionPresence(presence), ConnectionPresence(presence)
    endings = [connection.enter(channel) for channel in (ONE, ONE, TWO)]
    other.enter(ONE)
    connection.close()
    for leave in endings:
        leave()
    connection.close()
    assert await counts(presence) == [1, 0]
