"""Moderators decide about held messages; nobody else sees or touches them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.ban import Ban, BanMode, Identity, IdentityKind
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.embedded.postgres import EmbeddedPostgres
from app.errors import BadUserInput, Forbidden, Unauthenticated, Unavailable
from app.services.held import HeldService
from app.services.live.held import LiveHeld
from app.services.rights import Rights
from app.storage.database import Database
from app.storage.held import HeldMessages
from app.storage.held_writer import HeldWriter
from app.storage.history import MessageHistory
from tests.conftest import cloned
from tests.services.live.members import Recorded
from tests.storage.waiting_room import draft

pytestmark = pytest.mark.anyio

ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="ann")
MODERATOR = Viewer("Mo", frozenset({Permission.MODERATE}), subject="mo")
ELSEWHERE = Viewer("Max", frozenset(Permission), frozenset({"another"}), subject="max")
NOBODY = Viewer(None, DEFAULT_PERMISSIONS, anonymous=True)


class Process:
    """The service in one process, on a channel of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.channel = Channel(uuid4().hex, "questions")
        self.rights = Rights()
        self.history = MessageHistory(database)
        self.hub = Hub(Bus(MemoryBackend(), "process"), self.history)
        store = HeldMessages(database, self.hub.publish_stored)
        self.live = LiveHeld(self.hub, store)
        self.service = HeldService(
            writer=HeldWriter(database, self.live.tell, timeout_seconds=0.5),
            store=store,
            live=self.live,
            rights=self.rights,
        )

    async def hold(self, data: bytes = b"1", publisher: str = "sub:ann") -> Message:
        return await self.service.hold(draft(data, channel=self.channel, publisher=publisher))

    async def waiting(self) -> list[Message]:
        return [*await self.service.waiting(MODERATOR, self.channel, 1_000)]


@pytest.fixture(scope="module")
def shared_database_url(postgres: EmbeddedPostgres, template_database: str) -> Iterator[str]:
    """Each test has a channel of its own in it."""
    yield from cloned(postgres, template_database)


@pytest.fixture
async def process(shared_database_url: str) -> AsyncIterator[Process]:
    async with AsyncExitStack() as stack:
        database = await Database.connect(shared_database_url)
        stack.push_async_callback(database.close)
        made = Process(database)
        await made.hub.start()
        stack.push_async_callback(made.hub.stop)
        await made.live.start()
        stack.push_async_callback(made.live.stop)
        yield made


async def test_a_moderator_lists_approves_and_rejects(process: Process) -> None:
    one, two, three = [await process.hold(b"%d" % n) for n in range(3)]
    assert await process.waiting() == [one, two, three]
    assert await process.service.waiting(MODERATOR, process.channel, 2) == [one, two]
    approve, reject = process.service.approve, process.service.reject
    # The same id twice is once.
    assert await approve(MODERATOR, process.channel, [two.id, two.id, str(uuid4())]) == 1
    assert await reject(MODERATOR, process.channel, [one.id, two.id]) == 1
    assert await process.waiting() == [three]
    published = await process.history.by_id(process.channel, two.id)
    assert published is not None
    assert (published.sequence, published.held) == (1, False)


async def test_a_listener_hears_what_waits_and_what_arrives(process: Process) -> None:
    first = await process.hold(b'"first"')
    source = await process.service.listen(lambda: MODERATOR, process.channel)
    member = Recorded()
    leave = await source.begin("key", lambda message: bytes(message.data_json), member)
    await process.hold(b'"second"')
    await member.has_so_many(2)
    assert member.payloads == [first.data_json, b'"second"']
    leave()


@pytest.mark.parametrize(
    ("viewer", "refusal"),
    [(ANN, Forbidden), (ELSEWHERE, Forbidden), (NOBODY, Unauthenticated)],
)
async def test_others_are_refused(
    process: Process, viewer: Viewer, refusal: type[Exception]
) -> None:
    held = await process.hold()
    service, channel = process.service, process.channel
    for call in (
        service.waiting(viewer, channel, 1),
        service.listen(lambda: viewer, channel),
        service.approve(viewer, channel, [held.id]),
        service.reject(viewer, channel, [held.id]),
    ):
        with pytest.raises(refusal):
            await call
    assert await process.waiting() == [held]


async def test_a_muted_moderator_is_one_no_more(process: Process) -> None:
    source = await process.service.listen(lambda: MODERATOR, process.channel)
    member = Recorded()
    await source.begin("key", lambda message: bytes(message.data_json), member)
    identity = Identity(IdentityKind.SUB, "mo")
    ban = Ban("id", process.channel.project_id, identity, BanMode.MUTE, None, None)
    process.rights.changed(ban.key, ban)
    await process.hold()
    await member.has_failed()
    assert isinstance(member.errors[0], Forbidden)
    assert member.payloads == []
    with pytest.raises(Forbidden):
        await process.waiting()


@pytest.mark.parametrize("limit", [0, -1, 1_001])
async def test_a_limit_out_of_bounds_is_refused(process: Process, limit: int) -> None:
    with pytest.raises(BadUserInput) as refused:
        await process.service.waiting(MODERATOR, process.channel, limit)
    assert refused.value.message == f"limit is {limit}; allowed are 1 to 1000"


@pytest.mark.parametrize("ids", [[], ["x"], [str(uuid4())] * 1_001])
async def test_no_list_of_ids_is_refused(process: Process, ids: list[str]) -> None:
    for call in (process.service.approve, process.service.reject):
        with pytest.raises(BadUserInput, match="ids"):
            await call(MODERATOR, process.channel, ids)


async def test_publishers_withdraw_their_own_and_moderators_any(process: Process) -> None:
    mine, hers, theirs = [await process.hold(publisher=f"sub:{name}") for name in ("a", "b", "c")]
    ids = [mine.id, hers.id]
    assert await process.service.withdraw(process.channel, ids, "sub:a") == 1
    assert await process.service.withdraw(process.channel, ids, None) == 1
    assert await process.waiting() == [theirs]


async def test_without_the_database_nothing_is_done(process: Process) -> None:
    held = await process.hold()
    await process.database.close()
    service, channel = process.service, process.channel
    for call in (
        service.hold(draft(channel=channel)),
        service.waiting(MODERATOR, channel, 1),
        service.listen(lambda: MODERATOR, channel),
        service.approve(MODERATOR, channel, [held.id]),
        service.reject(MODERATOR, channel, [held.id]),
    ):
        with pytest.raises(Unavailable):
            await call
