"""Bans in the table: one a person and project, in force until lifted or over."""

import asyncio
from uuid import uuid4

import pytest

from app.domain.ban import Ban, BanMode, Identity, IdentityKind
from app.storage.bans import BanStore
from app.storage.database import Database
from app.storage.rules import RulesVersion

pytestmark = pytest.mark.anyio

NOW = 1_800_000_000_000
DAY = 24 * 60 * 60 * 1000
MOST = 1_000


@pytest.fixture
def store(database: Database) -> BanStore:
    """The table."""
    return BanStore(database)


def ban(
    name: str = "Ann",
    *,
    kind: IdentityKind = IdentityKind.USERNAME,
    mode: BanMode = BanMode.MUTE,
    until: int | None = None,
    reason: str | None = None,
    project_id: str = "p",
) -> Ban:
    return Ban(str(uuid4()), project_id, Identity(kind, name), mode, until, reason)


async def test_a_ban_comes_back_as_it_was_placed(store: BanStore) -> None:
    placed = [
        ban(),
        ban("u1", kind=IdentityKind.SUB, mode=BanMode.KICK, until=NOW + 1, reason="é 'x'"),
        ban("c1", kind=IdentityKind.CLIENT_ID, mode=BanMode.SHADOW),
    ]
    versions = [await store.place(one, NOW, MOST) for one in placed]
    assert versions == [1, 2, 3]
    assert await store.of_project("p", NOW) == placed[::-1]
    assert await store.of_project("q", NOW) == []
    changes = [(record.ban, record.gone, record.version) for record in await store.above(1)]
    assert sorted(changes, key=lambda change: change[2]) == [
        (placed[1], False, 2),
        (placed[2], False, 3),
    ]


async def test_another_ban_of_the_same_person_takes_the_place_of_the_first(
    store: BanStore,
) -> None:
    first, second, elsewhere = ban(), ban(mode=BanMode.KICK, until=NOW + 1), ban(project_id="q")
    for one in (first, second, elsewhere):
        await store.place(one, NOW, MOST)
    assert await store.of_project("p", NOW) == [second]
    assert await store.of_project("q", NOW) == [elsewhere]
    assert await store.lift("p", first.id, NOW) is None


async def test_a_ban_is_lifted_once_and_stays_as_a_mark(store: BanStore) -> None:
    placed = ban()
    await store.place(placed, NOW, MOST)
    assert await store.lift("q", placed.id, NOW) is None
    lifted = await store.lift("p", placed.id, NOW)
    assert lifted is not None
    assert (lifted.ban, lifted.gone) == (placed, True)
    assert await store.lift("p", placed.id, NOW) is None
    assert await store.of_project("p", NOW) == []
    (mark,) = await store.above(0)
    assert (mark.gone, mark.version) == (True, lifted.version)
    again = ban()
    await store.place(again, NOW, MOST)
    assert await store.of_project("p", NOW) == [again]


async def test_a_ban_that_is_over_is_not_there_and_cannot_be_lifted(store: BanStore) -> None:
    placed = ban(until=NOW + 10)
    await store.place(placed, NOW, MOST)
    assert await store.of_project("p", NOW + 9) == [placed]
    assert await store.of_project("p", NOW + 10) == []
    assert await store.lift("p", placed.id, NOW + 10) is None


async def test_a_project_has_a_most_and_what_is_over_does_not_count(store: BanStore) -> None:
    for name in ("a", "b"):
        assert await store.place(ban(name, until=NOW + 10), NOW, 2) is not None
    assert await store.place(ban("c"), NOW, 2) is None
    assert await store.place(ban("c", project_id="q"), NOW, 2) is not None
    # In the place of an earlier one it is no further one.
    assert await store.place(ban("b", until=NOW + 20), NOW, 2) is not None
    assert await store.place(ban("c"), NOW + 10, 2) is not None
    assert await store.place(ban("d"), NOW + 10, 2) is None


async def test_what_is_over_is_marked_by_the_next_ban_and_deleted_a_day_later(
    store: BanStore, database: Database
) -> None:
    await store.place(ban("a", until=NOW + 10), NOW, MOST)
    await store.place(ban("b", until=NOW + 10, project_id="q"), NOW, MOST)
    known = await store.place(ban("c"), NOW + 10, MOST)
    assert known is not None
    marks = {(one.ban.identity.name, one.gone) for one in await store.above(known - 1)}
    assert marks == {("a", True), ("b", True), ("c", False)}
    await store.place(ban("a"), NOW + 10 + DAY, MOST)
    rows = await database.fetch("SELECT name FROM bans ORDER BY name")
    assert [row["name"] for row in rows] == ["a", "c"]


async def test_bans_of_one_person_at_the_same_time_follow_each_other(
    store: BanStore, database: Database
) -> None:
    versions = await asyncio.gather(*(store.place(ban(), NOW, MOST) for _ in range(10)))
    assert sorted(versions, key=lambda version: version or 0) == list(range(1, 11))
    assert await RulesVersion(database).read() == 10
    (left,) = await store.above(0)
    assert left.version == 10
