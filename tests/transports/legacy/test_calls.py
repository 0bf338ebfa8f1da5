"""The calls of one legacy socket: in lanes, each answered by its ref, within bounds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest

from app.domain.channel import Channel
from app.domain.entry import Retraction
from app.domain.message import Message
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.errors import Forbidden, ShuttingDown, Unauthenticated, WidgetwireError
from app.services.messages import MessageService
from app.transports.legacy.calls import Caller, Calls, LegacyLimits
from app.transports.legacy.frames import Auth, Publish, Retract, Search
from app.wire.session import Outlet

pytestmark = pytest.mark.anyio

CHANNEL = Channel("project", "widget")


@dataclass
class Room:
    """The service and the socket; what is published is kept waiting until `open` is set."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    published: list[object] = field(default_factory=list)
    publishers: list[str | None] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    keys: asyncio.Event = field(default_factory=asyncio.Event)
    """What new tokens wait for."""
    error: WidgetwireError | None = None
    shutdowns: int = 0

    def send(self, frame: bytes) -> None:
        self.sent.append(msgspec.json.decode(frame))

    async def publish(
        self, viewer: Viewer, channel: Channel, data: object, **options: Any
    ) -> Message:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.published.append(data)
        self.publishers.append(viewer.username)
        return Message(channel, 1, "id", options["client_id"], 1, None, msgspec.json.encode(data))

    async def retract(
        self, _viewer: Viewer, _channel: Channel, ids: Sequence[str], _reason: str | None, **_: Any
    ) -> int:
        return len(ids)

    def shut_down(self) -> None:
        self.shutdowns += 1

    async def authenticate(self, token: str) -> Viewer:
        await self.keys.wait()
        if token == "bad":
            raise Unauthenticated("the token is not valid")
        return Viewer(token, DEFAULT_PERMISSIONS)

    def calls(self, **limits: int) -> Calls:
        return Calls(
            CHANNEL,
            cast("MessageService", self),
            cast("Outlet", self),
            LegacyLimits(**limits),
            authenticate=self.authenticate,
            on_change=lambda: None,
            on_shutting_down=self.shut_down,
        )


@pytest.fixture
async def room() -> Room:
    """Open."""
    room = Room()
    room.open.set()
    room.keys.set()
    return room


async def _heard_by_nobody(_entry: Message | Retraction) -> None:
    return


CALLER = Caller(Viewer(None, DEFAULT_PERMISSIONS), "client", True, _heard_by_nobody)


def publish(number: int) -> Publish:
    return Publish(b"%d" % number, number, None)


async def test_what_comes_early_waits_and_is_carried_out_in_order(room: Room) -> None:
    calls = room.calls(publishes_waiting=3)
    for number in range(5):
        calls.submit(publish(number))
    await calls.finished()
    assert not room.published
    assert [(frame["ref"], frame["code"]) for frame in room.sent] == [
        (3, "RATE_LIMITED"),
        (4, "RATE_LIMITED"),
    ]
    calls.begin(CALLER)
    calls.submit(Retract(b'"last"', ["a", "b"], None))
    await calls.finished()
    assert room.published == [0, 1, 2]
    acks = {frame["ref"]: frame for frame in room.sent if frame["type"] == "ack"}
    assert list(acks) == [0, 1, 2, "last"]
    assert acks[0]["message"]["client_id"] == "client"
    assert acks["last"]["count"] == 2


async def test_the_lane_is_full_while_as_many_run_as_may_and_refuses_beyond_those_that_wait(
    room: Room,
) -> None:
    room.open.clear()
    calls = room.calls(publishes_in_flight=2, publishes_waiting=1)
    calls.begin(CALLER)
    before = calls.full
    for number in range(4):
        calls.submit(publish(number))
    assert (before, calls.full) == (False, True)
    assert [frame["ref"] for frame in room.sent] == [3]
    room.open.set()
    await calls.finished()
    assert room.published == [0, 1, 2]


async def test_a_refusal_is_told_and_what_ends_with_the_service_is_not(room: Room) -> None:
    calls = room.calls()
    calls.begin(CALLER)
    for error in (Forbidden("no"), ShuttingDown()):
        room.error = error
        calls.submit(publish(7))
        await calls.finished()
    assert [(frame["ref"], frame["message"]) for frame in room.sent] == [(7, "no")]
    assert room.shutdowns == 1


async def test_what_came_early_is_dropped_with_the_socket(room: Room) -> None:
    calls = room.calls()
    calls.submit(Search(b"1", {}))
    calls.cancel()
    calls.begin(CALLER)
    await calls.finished()
    assert not room.sent


async def test_what_comes_after_a_new_token_goes_by_it(room: Room) -> None:
    calls = room.calls()
    for frame in (publish(0), Auth(b"7", "anna"), publish(1), Auth(b"8", "bad"), publish(2)):
        calls.submit(frame)
    calls.begin(CALLER)
    await calls.finished()
    assert room.publishers == [None, "anna", "anna"]
    answers = {frame["ref"]: frame for frame in room.sent}
    assert answers[7] == {"type": "ack", "ref": 7, "username": "anna"}
    assert (answers[8]["type"], answers[8]["code"]) == ("error", "UNAUTHENTICATED")


async def test_a_token_whose_key_is_being_fetched_holds_up_no_publish(room: Room) -> None:
    room.keys.clear()
    calls = room.calls(auths_waiting=1)
    calls.begin(CALLER)
    for number in (7, 8, 9):
        calls.submit(Auth(b"%d" % number, str(number)))
    calls.submit(publish(0))
    await calls.finished()
    assert room.publishers == [None]
    assert [(frame["ref"], frame.get("code")) for frame in room.sent] == [
        (9, "RATE_LIMITED"),
        (0, None),
    ]
    room.keys.set()
    while len(room.sent) < 4:  # noqa: ASYNC110 - two turns of the loop
        await asyncio.sleep(0)
    assert [frame["username"] for frame in room.sent[2:]] == ["7", "8"]
    calls.submit(publish(1))
    await calls.finished()
    assert room.publishers == [None, "8"]
