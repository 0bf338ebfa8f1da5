"""Who looks after a project sees its channels, with what is stored and who is there."""

from typing import Any

import pytest

from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import BadUserInput, Forbidden, Unauthenticated, UnknownCursor
from app.services.channels import ChannelService, ChannelSummary
from app.storage.channels import ChannelStore
from app.storage.database import Database
from tests.services.test_presence import service
from tests.storage.test_channels import know

pytestmark = pytest.mark.anyio

MODERATOR = Viewer("Mo", DEFAULT_PERMISSIONS | {Permission.MODERATE}, frozenset({"p"}))


async def test_it_counts_the_connections_of_all_processes(database: Database) -> None:
    await know(database, "p/a", 7)
    await know(database, "p/b", 8)
    async with service(database) as own, service(database) as other:
        for presence, widget in ((own, "a"), (other, "a"), (other, "quiet")):
            presence.join(Channel("p", widget))
        channels = ChannelService(ChannelStore(database), own)

        async def connections() -> list[int]:
            found = await channels.most_recent(MODERATOR, "p", limit=10)
            return [one.connections for one in found]

        counted: list[int] = []
        while counted != [0, 2, 1]:
            counted = await connections()
        first = (await channels.most_recent(MODERATOR, "p", limit=1))[0]
        assert first == ChannelSummary("p", "b", 4, 0, 8)
        (last,) = await channels.most_recent(MODERATOR, "p", limit=10, after="a")
        assert last == ChannelSummary("p", "quiet", 0, 1, None)
        assert await channels.most_recent(MODERATOR, "p", limit=10, after="quiet") == []


@pytest.mark.parametrize(
    ("viewer", "arguments", "error", "text"),
    [
        (Viewer("A", DEFAULT_PERMISSIONS), {}, Forbidden, "permission 'moderate'"),
        (Viewer(None, DEFAULT_PERMISSIONS, anonymous=True), {}, Unauthenticated, "'moderate'"),
        (MODERATOR, {"project_id": "q"}, Forbidden, "project 'q'"),
        (MODERATOR, {"project_id": "a b"}, BadUserInput, "projectId is 'a b'"),
        (MODERATOR, {"limit": 0}, BadUserInput, "limit is 0; allowed:"),
        (MODERATOR, {"limit": 1001}, BadUserInput, "from 1 to 1000"),
        (MODERATOR, {"after": "p/a"}, BadUserInput, "after is 'p/a'; allowed: 1 to 64"),
        (MODERATOR, {"after": "x"}, UnknownCursor, "after is 'x'; expected the widgetId"),
    ],
)
async def test_what_is_refused(
    database: Database,
    viewer: Viewer,
    arguments: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    await know(database, "p/a", 7)
    await know(database, "q/x", 7)
    channels = ChannelService(ChannelStore(database), Any)  # type: ignore[arg-type]
    with pytest.raises(error, match=text):
        await channels.most_recent(viewer, **{"project_id": "p", "limit": 5, **arguments})


async def test_who_administers_may_moderate(database: Database) -> None:
    administrator = Viewer("A", frozenset({Permission.ADMIN}))
    async with service(database) as presence:
        channels = ChannelService(ChannelStore(database), presence)
        assert await channels.most_recent(administrator, "p", limit=5) == []
