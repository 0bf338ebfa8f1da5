"""What clients have made of what they were told: each keeps a list, cut and resumed or not."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Final

from tests.acceptance.graphql_socket import PATIENCE_SECONDS, GraphQLSocket, Subscription
from tests.acceptance.room_model import Filters, Room, accepts_all, large
from tests.acceptance.widget import Widget
from tests.served import Served

__all__ = ["LARGE", "QUERIES", "LiveResult", "View"]

LARGE: Final = [{"field": "data.n", "operator": "GT", "value": 50}]
"""The filters that `large` is."""
QUERIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "newest": (
        "totalCount messages { id data } pageInfo { hasNextPage }",
        {"sortOrder": "DESC", "limit": 5},
    ),
    "ranking": (
        "messages { id }",
        {"sortField": "data.n", "sortOrder": "DESC", "offset": 1, "limit": 3},
    ),
    "choices": (
        'totalCount groups { key count aggregate(field: "data.n") { max } }',
        {"groupBy": "data.choice", "sortField": "key", "sortOrder": "ASC"},
    ),
    "loud": (
        'totalCount aggregate(field: "data.n") { count distinct min max sum }',
        {"filters": LARGE},
    ),
}
"""What is searched for and watched, by the name that `Room.result` has for it."""
_LIVE: Final = """
    subscription ($project: ID!, $widget: ID!, $query: MessageQuery!) {
      liveMessages(projectId: $project, widgetId: $widget, query: $query) { %s }
    }
"""


class View:
    """One subscriber's list of messages, of `channelEvents` or of `messages`.

    Args:
        name: for whoever reads a failure.
        widget: the channel.
        token: who listens.
        events: of `channelEvents`; else of `messages`, which tells of no retraction.
        filtered: whether it listens to `large` messages only.
    """

    def __init__(
        self, name: str, widget: Widget, token: str, *, events: bool, filtered: bool = False
    ) -> None:
        self.name = name
        self._widget = widget
        self._payload = {"authToken": token}
        self._events = events
        self._filters: Filters = large if filtered else accepts_all
        self._wire_filters = LARGE if filtered else []
        self._stack = AsyncExitStack()
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()
        self._failure: BaseException | None = None
        self._restart()

    def _restart(self) -> None:
        self.cursor: str | None = None
        self.told: list[dict[str, Any]] = []
        """All events since it began, over all its connections."""
        self._shown: dict[str, Any] = {}
        self._began = 0

    async def begin(self, served: Served, room: Room) -> None:
        """Connect; go on after what was told last, or begin with the present if nothing was."""
        if self.cursor is None or self.cursor in room.deleted:
            self._restart()
            self._began = len(room.log)
            # All that is stored: the view is whole from the start.
            await self._connect(served, {"last": 1_000})
        else:
            await self._connect(served, {"after": self.cursor})

    async def _connect(self, served: Served, start: dict[str, Any]) -> None:
        self._stack = AsyncExitStack()
        self._socket = await self._stack.enter_async_context(GraphQLSocket(served, self._payload))
        subscribe = self._widget.events if self._events else self._widget.subscribe
        subscription = await subscribe(self._socket, self._wire_filters, **start)
        self._reading = asyncio.create_task(self._read(subscription))

    async def cut(self) -> None:
        """Lose the connection, as a network does."""
        self._socket.connection.transport.abort()
        await self.close()

    async def close(self) -> None:
        """Hang up."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})
            self._reading = None
        await self._stack.aclose()

    async def agrees(self, room: Room) -> None:
        """Wait until it shows what the room holds; nothing came twice or out of order.

        Raises:
            AssertionError: it does not come to that.
        """
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._failure or self._has_all(room))
        except TimeoutError:
            wanted = self._expected(room)
            missing = {m: wanted[m] for m in wanted.keys() - self._shown.keys()}
            beyond = self._shown.keys() - wanted.keys() - room.deleted
            raise AssertionError(
                f"{self.name} lacks {missing} and has {beyond} beyond; told last: {self.told[-5:]}"
            ) from None
        if self._failure is not None:
            raise AssertionError(f"{self.name}: {self._failure!r}") from self._failure
        # What was replaced at once may have been gone when the log's listener would have been told.
        told = [event["cursor"] for event in self.told]
        places = room.places
        assert {*told} - places.keys() <= room.acknowledged.keys()
        order = [places[cursor] for cursor in told if cursor in places]
        assert order == sorted(set(order)), f"{self.name} was told {order}"

    def _expected(self, room: Room) -> dict[str, Any]:
        return {m.id: m.data for m in room.stored if self._filters(m.data)}

    def _has_all(self, room: Room) -> bool:
        expected = self._expected(room)
        if self._events:
            # Of what is deleted nobody is told.
            shown = [(i, data) for i, data in self._shown.items() if i not in room.deleted]
            return shown == [*expected.items()] and self._knows_retractions(room)
        # Nobody is told of a retraction here; all that is there must have come, in order.
        return [(i, data) for i, data in self._shown.items() if i in expected] == [
            *expected.items()
        ]

    def _knows_retractions(self, room: Room) -> bool:
        """Whether it was told of each retraction since it began, and of those replayed before."""
        told = [event["cursor"] for event in self.told if "ids" in event]
        every = [event["cursor"] for event in room.log if "ids" in event]
        since = sum("ids" in event for event in room.log[self._began :])
        return len(told) >= since and told == every[len(every) - len(told) :]

    async def _read(self, subscription: Subscription) -> None:
        try:
            while True:
                event = await subscription.next(10 * PATIENCE_SECONDS)
                async with self._changed:
                    self._take(event)
                    self._changed.notify_all()
        except Exception as error:
            async with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _take(self, event: dict[str, Any]) -> None:
        if not self._events:
            event = {"kind": "MessagePublished", "cursor": event["id"], "message": event}
        if event["kind"] == "MessagePublished":
            message = event["message"]
            assert message["id"] not in self._shown, f"{message} came twice"
            assert self._filters(message["data"]), f"{message} does not pass"
            self._shown[message["id"]] = message["data"]
        elif event["kind"] == "MessagesRetracted":
            for gone in event["ids"]:
                self._shown.pop(gone, None)
        else:
            return
        self.cursor = event["cursor"]
        self.told.append(event)

    async def next_after(self, count: int) -> list[dict[str, Any]]:
        """Return the events after the first `count`, once there are some."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._failure or len(self.told) > count)
        if self._failure is not None:
            raise AssertionError(f"{self.name}: {self._failure!r}") from self._failure
        return self.told[count:]


class LiveResult:
    """The last result that somebody who watches a query was told.

    Args:
        name: of the query, in `QUERIES`.
        subscription: to it.
    """

    def __init__(self, name: str, subscription: Subscription) -> None:
        self.name = name
        self._subscription = subscription
        self._last: Any = None

    @classmethod
    async def watch(cls, name: str, socket: GraphQLSocket, widget: Widget) -> "LiveResult":
        """Begin to watch."""
        selection, query = QUERIES[name]
        return cls(name, await socket.subscribe(_LIVE % selection, **widget.ids, query=query))

    async def agrees(self, room: Room) -> None:
        """Wait until it is the room's.

        Raises:
            AssertionError: it does not come to that.
        """
        wanted = room.result()[self.name]
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._last != wanted or not self._subscription.nothing_waits():
                    self._last = await self._subscription.next()
        except TimeoutError:
            raise AssertionError(
                f"{self.name} is {self._last} at rest; it should be {wanted}"
            ) from None
