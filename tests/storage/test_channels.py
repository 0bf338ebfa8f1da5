"""A project's channels come in order, page by page, and nobody else's."""

from uuid import uuid4

import pytest

from app.domain.channel import Channel
from app.storage.channels import ChannelStore, KnownChannel
from app.storage.database import Database

pytestmark = pytest.mark.anyio


async def know(database: Database, key: str, last_created: int, head: int = 5) -> None:
    await database.fetch(
        "INSERT INTO channels (channel, head, last_created, removed) VALUES ($1, $2, $3, 1)",
        *(key, head, last_created),
    )


async def connect(database: Database, key: str, *, alive: bool) -> None:
    process = uuid4()
    await database.fetch(
        "INSERT INTO processes VALUES ($1, now() + make_interval(secs => $2))",
        *(process, 60 if alive else -1),
    )
    await database.fetch("INSERT INTO presence VALUES ($1, $2, 1)", key, process)


async def test_the_most_recently_written_come_first_and_ties_by_name(database: Database) -> None:
    for name, created in (("b", 7), ("a", 7), ("A", 7), ("old", 1), ("new", 9), ("z.-_", 7)):
        await know(database, f"p/{name}", created)
    # Neighbours in the order of the keys.
    for key in ("p.a/x", "p-/x", "p0/x", "P/x", "pp/x", "o/x"):
        await know(database, key, 8)
    await connect(database, "p/quiet", alive=True)
    await connect(database, "p/quiet", alive=True)
    await connect(database, "p/dead", alive=False)
    await connect(database, "p/new", alive=True)
    await connect(database, "pp/quiet", alive=True)
    store = ChannelStore(database)
    all_of_it = await store.most_recent("p", 100, None)
    names = [one.channel.widget_id for one in all_of_it]
    assert names == ["new", "A", "a", "b", "z.-_", "old", "quiet"]
    assert all_of_it[0] == KnownChannel(Channel("p", "new"), 4, 9)
    assert all_of_it[-1] == KnownChannel(Channel("p", "quiet"), 0, None)
    for size in (1, 2, 3, 7):
        paged: list[KnownChannel] = []
        while True:
            page = await store.most_recent("p", size, paged[-1].channel if paged else None)
            paged += page
            if len(page) < size:
                break
        assert paged == all_of_it


async def test_a_channel_is_known_that_was_written_to_or_that_somebody_is_connected_to(
    database: Database,
) -> None:
    await know(database, "p/a", 1)
    await connect(database, "p/quiet", alive=True)
    await connect(database, "p/dead", alive=False)
    store = ChannelStore(database)
    known = [await store.knows(Channel("p", name)) for name in ("a", "quiet", "dead", "nowhere")]
    assert known == [True, True, False, False]
    assert not await store.knows(Channel("q", "a"))
