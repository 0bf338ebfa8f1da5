"""A small schema with everything a transport must carry: what the service's own does not matter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import NewType, cast

import msgspec
import strawberry
from strawberry.schema.config import StrawberryConfig

from app.delivery.members import Member
from app.domain.json_value import checked_data
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.engine.execution import Executor
from app.errors import Forbidden, SubscriberTooSlow, TokenExpired, Unauthenticated
from app.peer import UNKNOWN_PEER, Peer
from app.services.live.source import Respond, Source

JSON = NewType("JSON", object)


def _parse_json(value: object) -> object:
    checked_data(value, 65_536)
    return value


@dataclass
class Feed:
    """Live subscribers of the sample; `joined` counts all that ever were."""

    streams: list["Stream"] = field(default_factory=list)
    joined: int = 0
    left: int = 0
    join_gate: asyncio.Event | None = None
    begin_gate: asyncio.Event | None = None
    """What a stream waits for before it begins: its replay."""
    failure: Exception | None = None
    """With what a stream fails to begin."""
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def publish(self, item: object) -> int:
        """Give everybody an item's response, or let everybody go with an error."""
        for stream in tuple(self.streams):
            stream.give(item)
        return len(self.streams)

    async def until(self, attribute: str, value: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: getattr(self, attribute) >= value)

    async def note(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class Stream(Source):
    """A source that is joined when made: what comes before it begins waits for its member."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._waiting: list[object] = []
        self._give: Callable[[object], None] = self._waiting.append
        self._closing: asyncio.Task[None] | None = None
        feed.streams.append(self)
        feed.joined += 1

    async def begin(self, _key: Hashable, respond: Respond, member: Member) -> Callable[[], None]:
        if self._feed.begin_gate is not None:
            await self._feed.begin_gate.wait()
        if self._feed.failure is not None:
            raise self._feed.failure

        def give(item: object) -> None:
            if isinstance(item, SubscriberTooSlow):
                member.fail(item)
                return
            payload = respond(item)
            assert isinstance(payload, bytes)
            member.receive((payload,))

        for item in self._waiting:
            give(item)
        self._give = give
        return self.close

    def give(self, item: object) -> None:
        self._give(item)

    def close(self) -> None:
        if self in self._feed.streams:
            self._feed.streams.remove(self)
            self._feed.left += 1
            self._closing = asyncio.create_task(self._feed.note())


@dataclass
class Context:
    """What resolvers of the sample get."""

    viewer: Viewer
    feed: Feed
    connection: bool
    peer: Peer
    closed: int = 0
    private: bool = False
    resume_after: str | None = None
    authenticate: Callable[[str], Awaitable[None]] | None = None

    def replace_viewer(self, viewer: Viewer) -> None:
        self.viewer = viewer

    def close(self) -> None:
        self.closed += 1


Info = strawberry.Info[Context, None]


@strawberry.input
class Point:
    x: float
    steps: list[int] = strawberry.field(default_factory=list)
    data: JSON | None = None


@strawberry.type
class Node:
    number: int

    @strawberry.field
    def node(self) -> "Node":
        return Node(number=self.number + 1)


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def node(self) -> Node:
        return Node(number=1)

    @strawberry.field
    def echo(self, data: JSON) -> JSON:
        return data

    @strawberry.field
    def point(self, point: Point) -> str:
        return f"{point.x!r} {point.steps!r} {point.data!r}"

    @strawberry.field
    def count(self, number: int) -> int:
        return number

    @strawberry.field
    def raw(self) -> JSON:
        return JSON(msgspec.Raw(b'{"exactly":1.0}'))

    @strawberry.field
    def forbidden(self) -> str | None:
        raise Forbidden("the token does not grant this")

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError("SELECT secret FROM passwords")

    @strawberry.field
    def wrong(self) -> int | None:
        return "not a number"  # type: ignore[return-value]

    @strawberry.field
    async def whoami(self, info: Info) -> str | None:
        await asyncio.sleep(0)
        return info.context.viewer.username

    @strawberry.field
    def signed_client(self, info: Info) -> str | None:
        info.context.private = True
        return info.context.viewer.client_id

    @strawberry.field
    async def slow(self, info: Info) -> str:
        assert info.context.feed.join_gate is not None
        await info.context.feed.join_gate.wait()
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def publish(self, info: Info, data: JSON) -> int:
        await asyncio.sleep(0)
        return await info.context.feed.publish(data)

    @strawberry.mutation
    async def authenticate(self, info: Info, token: str) -> str | None:
        assert info.context.authenticate is not None
        await info.context.authenticate(token)
        return info.context.viewer.username

    @strawberry.mutation
    async def slow_publish(self, info: Info, data: JSON) -> int:
        assert info.context.feed.join_gate is not None
        await info.context.feed.join_gate.wait()
        return await info.context.feed.publish(data)


async def _join(info: Info) -> Stream:
    feed = info.context.feed
    if feed.join_gate is not None:
        await feed.join_gate.wait()
    stream = Stream(feed)
    await feed.note()
    return stream


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def items(self, info: Info, refuse: bool = False) -> AsyncIterator[JSON]:
        if refuse:
            raise Forbidden("the token does not grant the permission 'subscribe'")
        return cast("AsyncIterator[JSON]", await _join(info))

    @strawberry.subscription
    async def live_messages(self, info: Info) -> AsyncIterator[JSON]:
        return cast("AsyncIterator[JSON]", await _join(info))


def build_schema() -> strawberry.Schema:
    return strawberry.Schema(
        Query,
        Mutation,
        Subscription,
        config=StrawberryConfig(
            scalar_map={
                JSON: strawberry.scalar(
                    name="JSON", serialize=lambda value: value, parse_value=_parse_json
                )
            }
        ),
    )


SCHEMA = build_schema()


def viewer_of(token: str | None, client_token: str | None = None) -> Viewer:
    """Tokens of the sample, of both kinds: a name, `expired`, or `bad`."""
    for kind, one in (("token", token), ("client token", client_token)):
        if one == "bad":
            raise Unauthenticated(f"the {kind} is not valid")
        if one == "expired":
            raise TokenExpired(f"the {kind} has expired")
    return Viewer(token, DEFAULT_PERMISSIONS, anonymous=token is None, client_id=client_token)


TOO_SLOW = SubscriberTooSlow("1001 messages are waiting, at most 1000 may")


@dataclass
class Sample:
    """The sample's parts, and every context that was made."""

    feed: Feed = field(default_factory=Feed)
    contexts: list[Context] = field(default_factory=list)
    executor: Executor = field(default_factory=lambda: Executor.of(SCHEMA))

    def context(self, viewer: Viewer, connection: bool, peer: Peer = UNKNOWN_PEER) -> Context:
        made = Context(viewer, self.feed, connection, peer)
        self.contexts.append(made)
        return made
