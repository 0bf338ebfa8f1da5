"""What a subscription keeps while it is open: its filters once, and nothing of its request."""

import asyncio
import gc
import json
import tracemalloc
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from app.delivery.backends.memory import MemoryBackend
from app.delivery.bus import Bus
from app.delivery.hub import Hub
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.engine.direct import Resolvers
from app.engine.execution import Executor
from app.schema import build_schema
from app.schema.context import Context, Services
from app.schema.operations import answer, publish, search, searched, subscribe
from app.services.answers import Answers
from app.services.live.results import LiveResults
from app.services.messages import MessageService
from app.services.open_filters import FilterLimits, OpenFilters
from app.transports.graphql.dialects import TransportDialect
from app.transports.graphql.session import GraphQLSession
from tests.delivery.recorded import Table, transient, until
from tests.turns import Turns

pytestmark = pytest.mark.anyio

PLAIN = (
    "subscription ($f: [MessageFilter!]!) "
    '{ messages(projectId: "project", widgetId: "widget", filters: $f) { data } }'
)
THROUGH_THE_ENGINE = (
    "subscription ($f: [MessageFilter!]!, $yes: Boolean = true) { messages(projectId: "
    '"project", widgetId: "widget", filters: $f) { data @include(if: $yes) } }'
)
IN_A_FRAGMENT = (
    "subscription ($f: [MessageFilter!]!) { ...Root } "
    'fragment Root on Subscription { messages(projectId: "project", widgetId: "widget", '
    "filters: $f) { ...Data } } fragment Data on Message { data }"
)
LIVE = (
    "subscription ($f: [MessageFilter!]!) { liveMessages(projectId: "
    '"project", widgetId: "widget", query: {filters: $f}) { __typename } }'
)


class NotSearched:
    """The search of a query whose selection reads nothing."""

    def asked_by(self, _asker: object) -> "NotSearched":
        return self


class UncountedPresence:
    """Presence that nobody asks about here."""

    def join(self, channel: Any) -> None: ...
    def leave(self, channel: Any) -> None: ...


class Server:
    """One process without a network and a database."""

    def __init__(self, limits: FilterLimits | None = None) -> None:
        table = Table()
        self.hub = Hub(Bus(MemoryBackend(), "process"), table)
        self.filters = OpenFilters(limits)
        messages = MessageService(
            hub=self.hub,
            writer=cast("Any", None),
            history=cast("Any", table),
            retractions=cast("Any", None),
            search=cast("Any", NotSearched()),
        )
        nothing = cast("Any", NotSearched())
        self.services = Services(
            messages,
            cast("Any", UncountedPresence()),
            LiveResults(self.hub, table, nothing, nothing),
            Answers(table),
            self.filters,
            policies=nothing,
            client_ids=nothing,
            deletion=nothing,
            channels=nothing,
            bans=nothing,
            held=nothing,
        )
        self.executor = Executor.of(
            build_schema(), resolvers=Resolvers(publish, subscribe, search, answer, searched)
        )

    async def socket(self) -> "Socket":
        return await Socket(self).acknowledged()


@asynccontextmanager
async def running(limits: FilterLimits | None = None) -> AsyncIterator[Server]:
    server = Server(limits)
    await server.hub.start()
    yield server
    await server.hub.stop()


class Socket:
    """A socket's session, and the outlet that it sends to."""

    def __init__(self, server: Server) -> None:
        self.sent: list[dict[str, Any]] = []
        self.session = GraphQLSession(
            TransportDialect(),
            server.executor,
            lambda *_tokens: Viewer(None, DEFAULT_PERMISSIONS),
            lambda viewer, _connection, _peer: Context(viewer, server.services),
        )
        self.session.opened(self)

    def accept_peer(self, max_message_bytes: int | None = None) -> None:
        pass

    async def acknowledged(self) -> "Socket":
        self.say(type="connection_init")
        await until(lambda: self.sent)
        return self

    def say(self, **frame: Any) -> None:
        self.session.received(json.dumps(frame))

    async def subscribe(self, operation_id: str, document: str, **variables: Any) -> Any:
        """Begin a subscription; return the code it was refused with, or None."""
        payload = {"query": document, "variables": variables}
        self.say(type="subscribe", id=operation_id, payload=payload)
        self.say(type="subscribe", id="q" + operation_id, payload={"query": "{ __typename }"})
        await until(lambda: self.last("q" + operation_id, "complete"))
        error = self.last(operation_id, "error")
        return None if error is None else error["payload"][0]["extensions"]["code"]

    def last(self, operation_id: str, kind: str) -> dict[str, Any] | None:
        found = [f for f in self.sent if f.get("id") == operation_id and f["type"] == kind]
        return found[-1] if found else None

    def send(self, frame: bytes) -> None:
        self.sent.append(json.loads(frame))

    def close(self, _code: int, _reason: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    async def drained(self) -> None: ...


def numbers(first: int) -> list[dict[str, Any]]:
    values = list(range(first, first + 1_000))
    return [{"field": "data", "operator": "NOT_IN", "value": values}]


@pytest.mark.parametrize("document", [PLAIN, THROUGH_THE_ENGINE, IN_A_FRAGMENT, LIVE])
async def test_equal_subscriptions_after_the_first_cost_nearly_nothing(document: str) -> None:
    """Each kept its variables, as sent and as parsed: 64 KiB of filters a hundred times over."""
    filters = [{"field": "data", "operator": "NEQ", "value": "x" * 60_000}]
    async with running() as server:
        socket = await server.socket()
        for n in range(3):
            assert await socket.subscribe(f"first {n}", document, f=filters) is None
        socket.sent.clear()
        gc.collect()
        tracemalloc.start()
        for n in range(15):
            assert await socket.subscribe(f"{n}", document, f=filters) is None
        socket.sent.clear()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held / 15 < 15_000
        if document != LIVE:
            server.hub.publish_transient(transient())
            await until(lambda: sum(f["type"] == "next" for f in socket.sent) == 18)
        socket.session.lost()
        await until(lambda: not server.filters.held_bytes)


@pytest.mark.parametrize("document", [PLAIN, THROUGH_THE_ENGINE, IN_A_FRAGMENT, LIVE])
async def test_the_first_one_keeps_its_filters_and_nothing_else(document: str) -> None:
    async with running() as server:
        socket = await server.socket()
        await socket.subscribe("warm", document, f=numbers(0))
        before = server.filters.held_bytes
        socket.sent.clear()
        gc.collect()
        tracemalloc.start()
        for n in range(1, 5):
            assert await socket.subscribe(f"{n}", document, f=numbers(n * 10**10)) is None
        socket.sent.clear()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        charged = server.filters.held_bytes - before
        assert held - charged < 4 * 15_000
        socket.session.lost()
        await until(lambda: not server.filters.held_bytes)


@pytest.mark.parametrize("document", [PLAIN, THROUGH_THE_ENGINE, IN_A_FRAGMENT, LIVE])
async def test_an_open_subscription_does_not_keep_its_document(document: str) -> None:
    async with running() as server:
        socket = await server.socket()
        assert await socket.subscribe("1", document, f=numbers(0)) is None
        operation = weakref.ref(server.executor.prepare(document))
        server.executor.documents._documents._kept.clear()
        await asyncio.sleep(0)
        gc.collect()
        assert operation() is None
        socket.session.lost()


@pytest.mark.parametrize("document", [PLAIN, LIVE])
async def test_a_socket_s_filters_have_a_bound_and_are_given_back(document: str) -> None:
    async with running(FilterLimits(bytes_per_connection=200_000)) as server:
        socket, other = await server.socket(), await server.socket()
        codes = [await socket.subscribe(f"{n}", document, f=numbers(n * 10**10)) for n in range(3)]
        assert codes == [None, None, "RATE_LIMITED"]
        assert await other.subscribe("1", document, f=numbers(10**12)) is None
        assert await socket.subscribe("without", PLAIN, f=[]) is None

        socket.say(type="complete", id="1")
        await until(lambda: server.filters.held_bytes < 200_000)
        assert await socket.subscribe("again", document, f=numbers(5 * 10**10)) is None

        socket.session.lost()
        other.session.lost()
        await until(lambda: not server.filters.held_bytes)


async def test_the_filters_of_a_process_have_a_bound() -> None:
    async with running(FilterLimits(bytes_per_process=200_000)) as server:
        sockets = [await server.socket() for _ in range(3)]
        codes = [
            await socket.subscribe("1", PLAIN, f=numbers(n * 10**10))
            for n, socket in enumerate(sockets)
        ]
        assert codes == [None, None, "UNAVAILABLE"]
        for socket in sockets:
            socket.session.lost()


async def test_a_subscription_that_is_refused_is_charged_nothing() -> None:
    async with running() as server:
        socket = await server.socket()
        document = PLAIN.replace("filters:", "last: 100000, filters:")
        assert await socket.subscribe("1", document, f=numbers(0)) == "BAD_USER_INPUT"
        assert server.filters.held_bytes == 0


async def test_as_many_filters_as_are_allowed_do_not_hold_the_loop() -> None:
    """30 subscriptions of 100 lists of 1,000 numbers: a publish held the loop for 0.9 s."""
    async with running(FilterLimits(bytes_per_connection=64 * 2**20)) as server:
        socket = await server.socket()
        for n in range(100):
            lists = [numbers(n * 10**7 + k * 10**4)[0] for k in range(1)]
            few = [{"field": "data", "operator": "NEQ", "value": n * 1000 + k} for k in range(63)]
            assert await socket.subscribe(f"{n}", PLAIN, f=[*lists, *few]) is None
        socket.sent.clear()
        with Turns() as turns:
            asyncio.get_running_loop().call_soon(server.hub.publish_transient, transient())
            while sum(f["type"] == "next" for f in socket.sent) < 100:  # noqa: ASYNC110  turns count
                await asyncio.sleep(0)
        assert turns.longest_seconds < 0.05
        socket.session.lost()
