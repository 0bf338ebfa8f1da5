"""What one connection listens to ends when its viewer is kicked, and only then."""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from dataclasses import replace
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.groups import FanOut
from app.delivery.hub import Hub
from app.delivery.members import Member
from app.domain.ban import Ban, BanMode, Identity, IdentityKind
from app.domain.channel import Channel
from app.domain.message import Message
from app.domain.query import CompiledFilters, parse_filters
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.errors import Forbidden, RightWithdrawn, Unavailable
from app.services.connection_rights import ConnectionRights
from app.services.live.messages import MessageSource
from app.services.live.source import Respond, Source
from app.services.rights import Rights
from tests.delivery.recorded import Table
from tests.services.live.members import Recorded

pytestmark = pytest.mark.anyio

ANN = Viewer("Ann", DEFAULT_PERMISSIONS, subject="u1")
HERE, BESIDE, THERE = Channel("p", "one"), Channel("p", "two"), Channel("q", "one")
KICK = Ban("id", "p", Identity(IdentityKind.SUB, "u1"), BanMode.KICK, reason="spam")


class Played(Source):
    """A source that begins when it is let, and notes how it ends."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.left = self.closed = 0
        self.error: Exception | None = None

    async def begin(self, _key: Hashable, _respond: Respond, _member: Member) -> Callable[[], None]:
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return self.leave

    def leave(self) -> None:
        self.left += 1

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def rights() -> Rights:
    """Of one process, without a ban."""
    return Rights()


@pytest.fixture
def connection(rights: Rights) -> ConnectionRights:
    """Ann's."""
    return ConnectionRights(rights, ANN)


def respond(event: Message) -> bytes:
    return event.data_json


async def begun(
    connection: ConnectionRights, channel: Channel
) -> tuple[Played, Recorded, Callable[[], None]]:
    source, member = Played(), Recorded()
    source.go.set()
    leave = await connection.guarded(channel, source).begin("all", respond, member)
    return source, member, leave


async def test_a_kick_ends_what_is_listened_to_in_the_project(
    rights: Rights, connection: ConnectionRights
) -> None:
    here, beside, there = [await begun(connection, one) for one in (HERE, BESIDE, THERE)]
    rights.changed(KICK.key, KICK)
    for source, member, leave in (here, beside):
        (error,) = member.errors
        assert isinstance(error, Forbidden)
        assert error.message == "you are banned in the project 'p' for ever; the reason: spam"
        leave()  # as every member does
        leave()
        assert source.left == 1
    assert not there[1].errors
    rights.changed(KICK.key, KICK)
    assert len(here[1].errors) == 1


async def test_nothing_is_told_to_one_that_was_left(
    rights: Rights, connection: ConnectionRights
) -> None:
    _, member, leave = await begun(connection, HERE)
    leave()
    rights.changed(KICK.key, KICK)
    assert not member.errors
    with pytest.raises(Forbidden, match="spam"):
        await begun(connection, HERE)
    await begun(connection, THERE)


async def test_a_kick_during_the_replay_ends_it(
    rights: Rights, connection: ConnectionRights
) -> None:
    source, member = Played(), Recorded()
    beginning = asyncio.create_task(connection.guarded(HERE, source).begin("all", respond, member))
    await asyncio.sleep(0)
    rights.changed(KICK.key, KICK)
    assert len(member.errors) == 1
    beginning.cancel()  # as every member does
    with pytest.raises(asyncio.CancelledError):
        await beginning
    rights.changed(KICK.key, KICK)
    assert len(member.errors) == 1


async def test_a_replay_that_fails_is_listened_to_no_more(
    rights: Rights, connection: ConnectionRights
) -> None:
    source, member = Played(), Recorded()
    source.error = Unavailable("away")
    source.go.set()
    guarded = connection.guarded(HERE, source)
    with pytest.raises(Unavailable):
        await guarded.begin("all", respond, member)
    guarded.close()
    assert source.closed == 1
    rights.changed(KICK.key, KICK)
    assert not member.errors


async def test_a_member_that_breaks_keeps_no_other_one(
    rights: Rights, connection: ConnectionRights, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, broken, _ = await begun(connection, HERE)
    _, sound, _ = await begun(connection, HERE)

    def fail(error: Exception) -> None:
        raise RuntimeError

    monkeypatch.setattr(broken, "fail", fail)
    rights.changed(KICK.key, KICK)
    assert len(sound.errors) == 1


# Messages for one connection alone.


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """Of one process."""
    hub = Hub(Bus(MemoryBackend(), "process"), Table())
    await hub.start()
    yield hub
    await hub.stop()


def message(data: str, channel: Channel = HERE) -> Message:
    return Message(channel, None, "id", "client", 1, None, data.encode())


async def test_an_echo_reaches_the_connections_own_subscriptions_that_accept_it(
    hub: Hub, connection: ConnectionRights, rights: Rights
) -> None:
    fan_out, table = FanOut(hub), cast("Any", Table())

    async def listening(
        whose: ConnectionRights, channel: Channel, filters: CompiledFilters, key: str
    ) -> Recorded:
        source, member = MessageSource(hub, fan_out, table, channel, filters), Recorded()
        await source.start()
        await whose.guarded(channel, source).begin(key, respond, member)
        return member

    every = CompiledFilters(())
    ones = CompiledFilters(parse_filters([{"field": "data", "operator": "EQ", "value": 1}]))
    own = await listening(connection, HERE, every, "every")
    own_filtered = await listening(connection, HERE, ones, "ones")
    own_elsewhere = await listening(connection, BESIDE, every, "every")
    others = await listening(ConnectionRights(rights, ANN), HERE, every, "every")
    counting, _, _ = await begun(connection, HERE)
    await connection.echo(message("1"))
    await connection.echo(message("2"))
    assert own.payloads == [b"1", b"2"]
    assert own_filtered.payloads == [b"1"]
    assert own_elsewhere.payloads == others.payloads == []
    assert counting.left == 0


async def test_an_echo_that_cannot_be_given_is_no_failure_of_the_publish(
    hub: Hub, connection: ConnectionRights
) -> None:
    source = MessageSource(hub, FanOut(hub), cast("Any", Table()), HERE)
    await source.start()

    def broken(_event: Message) -> bytes:
        raise ZeroDivisionError

    member = Recorded()
    await connection.guarded(HERE, source).begin("broken", broken, member)
    await connection.echo(message("1"))
    assert not member.payloads


async def test_an_echo_waits_for_the_end_of_a_replay(
    hub: Hub, connection: ConnectionRights
) -> None:
    source, member = MessageSource(hub, FanOut(hub), cast("Any", Table()), HERE), Recorded()
    await source.start()
    played = Played()

    class Late(Source):
        async def begin(
            self, key: Hashable, respond: Respond, member: Member
        ) -> Callable[[], None]:
            await played.go.wait()
            return await source.begin(key, respond, member)

        def close(self) -> None:
            source.close()

    beginning = asyncio.ensure_future(
        connection.guarded(HERE, Late()).begin("all", respond, member)
    )
    await asyncio.sleep(0)
    for number in range(105):
        await connection.echo(message(str(number)))
    assert not member.payloads
    played.go.set()
    leave = await beginning
    assert member.payloads == [str(number).encode() for number in range(100)]
    leave()
    await connection.echo(message("late"))
    assert len(member.payloads) == 100


# A new token.

BEN = Viewer("Ben", DEFAULT_PERMISSIONS, subject="u2")


@pytest.mark.parametrize(
    ("viewer", "needed", "lost"),
    [
        (BEN, (Permission.SUBSCRIBE,), None),
        (BEN, (Permission.SUBSCRIBE, Permission.SEARCH), None),
        (
            replace(BEN, permissions=frozenset({Permission.SUBSCRIBE})),
            (Permission.SUBSCRIBE, Permission.SEARCH),
            "does not grant the permission 'search'",
        ),
        (
            replace(BEN, permissions=frozenset({Permission.PUBLISH})),
            (Permission.SUBSCRIBE,),
            "does not grant the permission 'subscribe'",
        ),
        (
            replace(BEN, projects=frozenset({"q"})),
            (Permission.SUBSCRIBE,),
            "does not grant the project 'p'",
        ),
    ],
)
async def test_a_new_token_ends_what_it_does_not_grant_and_nothing_else(
    connection: ConnectionRights,
    viewer: Viewer,
    needed: tuple[Permission, ...],
    lost: str | None,
) -> None:
    members = {one: Recorded() for one in (HERE, THERE)}
    for channel, member in members.items():
        played = Played()
        played.go.set()
        await connection.guarded(channel, played, needed).begin("all", respond, member)
    connection.replace(viewer)
    assert [str(error) for error in members[HERE].errors] == (
        [] if lost is None else [f"the token {lost}"]
    )
    assert all(isinstance(error, RightWithdrawn) for error in members[HERE].errors)
    assert bool(members[THERE].errors) is (lost is not None and "project" not in lost)


async def test_the_new_viewer_is_the_one_whom_a_kick_ends(
    rights: Rights, connection: ConnectionRights
) -> None:
    _, member, _ = await begun(connection, HERE)
    connection.replace(BEN)
    rights.changed(KICK.key, KICK)  # of whom it was
    assert not member.errors
    kick = Ban("id", "p", Identity(IdentityKind.SUB, "u2"), BanMode.KICK)
    rights.changed(kick.key, kick)
    (error,) = member.errors
    assert isinstance(error, Forbidden)
    assert not isinstance(error, RightWithdrawn)  # it is no use to come back


async def test_somebody_who_was_kicked_before_listens_to_nothing_by_a_new_token(
    rights: Rights, connection: ConnectionRights
) -> None:
    _, here, _ = await begun(connection, HERE)
    _, there, _ = await begun(connection, THERE)
    kick = Ban("id", "p", Identity(IdentityKind.SUB, "u2"), BanMode.KICK, reason="spam")
    rights.changed(kick.key, kick)
    connection.replace(BEN)
    (error,) = here.errors
    assert "spam" in str(error)
    assert not there.errors


async def test_a_token_that_comes_while_nothing_is_listened_to_counts_from_then_on(
    rights: Rights, connection: ConnectionRights
) -> None:
    connection.replace(BEN)
    _, member, leave = await begun(connection, HERE)
    rights.changed(KICK.key, KICK)
    assert not member.errors
    leave()
    assert not rights._watching.of(Identity(IdentityKind.SUB, "u2"))


async def test_a_right_that_is_lost_before_the_first_message_is_noticed(
    connection: ConnectionRights,
) -> None:
    """The service was asked with the old token, and the subscription begins with the new one."""
    played = Played()
    played.go.set()
    guarded = connection.guarded(HERE, played)
    connection.replace(replace(BEN, permissions=frozenset()))
    with pytest.raises(RightWithdrawn):
        await guarded.begin("all", respond, Recorded())
