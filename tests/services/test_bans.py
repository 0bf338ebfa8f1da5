"""Moderators ban and unban; what they did holds at once here, and soon in other processes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import pytest

from app.domain.ban import Ban, BanKey, BanMode, BanRequest, Identity, IdentityKind
from app.domain.channel import Channel
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.embedded.postgres import EmbeddedPostgres
from app.errors import BadUserInput, Forbidden, Unavailable
from app.services.bans import BanService
from app.services.following import RuleFollower
from app.services.rights import Rights
from app.storage.bans import BanStore
from app.storage.database import Database
from app.storage.rules import RulesVersion
from tests.conftest import cloned
from tests.delivery.recorded import until

pytestmark = pytest.mark.anyio

ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1")
MODERATOR = Viewer("Mo", frozenset(Permission), subject="m1")
ANNS = Identity(IdentityKind.SUB, "u1")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Process:
    rights: Rights
    bans: BanService
    project_id: str

    def allows(self, viewer: Viewer = ANN, permission: Permission = Permission.PUBLISH) -> bool:
        try:
            self.rights.require(viewer, permission, Channel(self.project_id, "w"))
        except Forbidden:
            return False
        return True


@pytest.fixture
def clock() -> Clock:
    """What both processes go by."""
    return Clock()


@pytest.fixture(scope="module")
def shared_database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """Each test has a project of its own in it."""
    yield from cloned(postgres, template_database)


@pytest.fixture
async def database(shared_database_url: str) -> AsyncIterator[Database]:
    """The pool of one test."""
    opened = await Database.connect(shared_database_url)
    yield opened
    await opened.close()


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return uuid4().hex


@pytest.fixture
async def pair(
    database: Database, clock: Clock, project: str
) -> AsyncIterator[tuple[Process, Process]]:
    """Two processes on one database, which look for changes very often."""
    async with AsyncExitStack() as stack:
        processes = []
        for _ in range(2):
            rights = Rights(clock)
            bans = BanService(BanStore(database), rights, most=2, now_ms=clock)
            follower = RuleFollower(
                RulesVersion(database).read, [bans.followed], interval_seconds=0.01
            )
            await follower.start()
            stack.push_async_callback(follower.stop)
            processes.append(Process(rights, bans, project))
        yield processes[0], processes[1]


def request(
    identity: Identity = ANNS, mode: BanMode = BanMode.MUTE, until_ms: int | None = None
) -> BanRequest:
    return BanRequest(identity, mode, until_ms, "spam")


async def test_a_ban_holds_here_at_once_and_there_soon_until_it_is_lifted(
    pair: tuple[Process, Process],
    project: str,
) -> None:
    here, there = pair
    placed = await here.bans.ban(MODERATOR, project, request())
    assert placed == Ban(placed.id, project, ANNS, BanMode.MUTE, None, "spam")
    assert not here.allows()
    await until(lambda: not there.allows())
    assert await there.bans.bans(MODERATOR, project) == [placed]
    assert await there.bans.unban(MODERATOR, project, placed.id.upper())
    assert there.allows()
    await until(here.allows)
    assert not await here.bans.unban(MODERATOR, project, placed.id)


async def test_an_unknown_id_lifts_nothing(pair: tuple[Process, Process], project: str) -> None:
    for unknown in ("", "x", "00000000-0000-0000-0000-000000000000", "\0", "1" * 99):
        assert not await pair[0].bans.unban(MODERATOR, project, unknown)


async def test_a_ban_ends_by_itself_everywhere(
    pair: tuple[Process, Process], project: str, clock: Clock
) -> None:
    here, there = pair
    await here.bans.ban(MODERATOR, project, request(mode=BanMode.KICK, until_ms=clock.now + 1_000))
    await until(lambda: not there.allows(permission=Permission.SEARCH))
    clock.now += 1_000
    assert here.allows()
    assert there.allows()
    assert await here.bans.bans(MODERATOR, project) == []
    # The next ban tells every process to forget it.
    assert BanKey(project, ANNS) in there.bans.followed.rules
    await here.bans.ban(MODERATOR, f"not {project}", request())
    await until(lambda: BanKey(project, ANNS) not in there.bans.followed.rules)


async def test_a_second_ban_of_the_same_person_replaces_the_first(
    pair: tuple[Process, Process],
    project: str,
) -> None:
    here, there = pair
    first = await here.bans.ban(MODERATOR, project, request(mode=BanMode.KICK))
    second = await there.bans.ban(MODERATOR, project, request(mode=BanMode.MUTE))
    assert there.allows(permission=Permission.SEARCH)
    await until(lambda: here.allows(permission=Permission.SEARCH))
    assert not here.allows()
    assert not await here.bans.unban(MODERATOR, project, first.id)
    assert await here.bans.unban(MODERATOR, project, second.id)


async def test_only_moderators_of_the_project_may(
    pair: tuple[Process, Process],
    project: str,
) -> None:
    bans = pair[0].bans
    elsewhere = Viewer("Mo", frozenset(Permission), frozenset({"q"}), subject="m1")
    for viewer, told in ((ANN, "permission 'moderate'"), (elsewhere, f"project '{project}'")):
        with pytest.raises(Forbidden, match=told):
            await bans.ban(viewer, project, request(Identity(IdentityKind.SUB, "somebody")))
        with pytest.raises(Forbidden, match=told):
            await bans.unban(viewer, project, "00000000-0000-0000-0000-000000000000")
        with pytest.raises(Forbidden, match=told):
            await bans.bans(viewer, project)
    assert await bans.bans(MODERATOR, project) == []


@pytest.mark.parametrize("mode", BanMode)
async def test_a_moderator_who_is_banned_does_not_lift_it(
    pair: tuple[Process, Process], project: str, mode: BanMode
) -> None:
    bans = pair[0].bans
    chief = Viewer("Chief", frozenset(Permission), subject="c1")
    placed = await bans.ban(chief, project, request(Identity(IdentityKind.SUB, "m1"), mode))
    with pytest.raises(Forbidden, match=f"in the project '{project}'"):
        await bans.unban(MODERATOR, project, placed.id)
    assert await bans.unban(chief, project, placed.id)


@pytest.mark.parametrize(
    "own", [Identity(IdentityKind.SUB, "m1"), Identity(IdentityKind.USERNAME, "Mo")]
)
async def test_nobody_bans_themselves(
    pair: tuple[Process, Process], project: str, own: Identity
) -> None:
    with pytest.raises(BadUserInput, match=f"input.{own.kind} is your own"):
        await pair[0].bans.ban(MODERATOR, project, request(own))
    assert await pair[0].bans.bans(MODERATOR, project) == []


async def test_a_project_with_the_most_bans_is_told_so(
    pair: tuple[Process, Process],
    project: str,
) -> None:
    bans = pair[0].bans
    for name in ("a", "b"):
        await bans.ban(MODERATOR, project, request(Identity(IdentityKind.SUB, name)))
    with pytest.raises(BadUserInput, match="has 2 active bans, which is the limit; remove a ban"):
        await bans.ban(MODERATOR, project, request(Identity(IdentityKind.SUB, "c")))


async def test_known_bans_hold_while_the_database_is_away(
    pair: tuple[Process, Process], project: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = pair
    placed = await here.bans.ban(MODERATOR, project, request())
    await until(lambda: not there.allows())

    async def away(*_: object, **__: object) -> None:
        raise Unavailable("the database is unavailable; retry later")

    with monkeypatch.context() as outage:
        outage.setattr(database, "fetch", away)
        with pytest.raises(Unavailable):
            await here.bans.unban(MODERATOR, project, placed.id)
        with pytest.raises(Unavailable):
            await here.bans.ban(MODERATOR, project, request(Identity(IdentityKind.SUB, "u2")))
        assert not here.allows()
        assert not there.allows()
        assert here.allows(Viewer("u2", DEFAULT_PERMISSIONS, subject="u2"))
    assert await here.bans.unban(MODERATOR, project, placed.id)
    await until(there.allows)
