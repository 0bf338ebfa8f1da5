"""The conversation in both subprotocols, driven without a socket."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Coroutine
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.defaults import MAX_ANONYMOUS_BYTES
from app.domain.viewer import DEFAULT_PERMISSIONS, Viewer
from app.errors import DeliveryFailed, Forbidden, RateLimited, Unavailable, WidgetwireError
from app.transports.auth.verification import KeysWanted
from app.transports.expiry import Expiry
from app.transports.graphql.dialects import ApolloDialect, Dialect, TransportDialect
from app.transports.graphql.operations import OperationLimits
from app.transports.graphql.session import GraphQLSession, SessionLimits, State
from app.wire.close_codes import CloseCode
from app.wire.outcomes import outcome_of
from tests.delivery.recorded import until
from tests.transports.graphql.sample import TOO_SLOW, Sample, viewer_of

pytestmark = pytest.mark.anyio


class Recorder:
    """An outlet that keeps what was sent and lets a test wait for it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.accepted = False
        self.max_message_bytes: int | None = 0
        self._reading = True
        self._changed = asyncio.Event()

    def send(self, frame: bytes) -> None:
        assert self.closed is None, "sent after the close"
        self.sent.append(json.loads(frame))
        self._changed.set()

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        self._changed.set()

    def accept_peer(self, max_message_bytes: int | None = None) -> None:
        self.accepted = True
        self.max_message_bytes = max_message_bytes

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    async def drained(self) -> None:
        return

    def is_reading(self) -> bool:
        return self._reading

    async def next(self) -> dict[str, Any]:
        """Return the oldest frame not yet returned."""
        async with asyncio.timeout(20):
            while not self.sent:
                self._changed.clear()
                await self._changed.wait()
        return self.sent.pop(0)

    async def close_code(self) -> int:
        async with asyncio.timeout(20):
            while self.closed is None:
                self._changed.clear()
                await self._changed.wait()
        return self.closed[0]


class Conversation:
    """A session with its outlet and the sample behind it."""

    def __init__(
        self, dialect: Dialect | None = None, limits: SessionLimits | None = None, **changes: Any
    ) -> None:
        self.sample = Sample()
        self.outlet = Recorder()
        self.session = GraphQLSession(
            dialect or TransportDialect(),
            self.sample.executor,
            changes.get("viewer_of", viewer_of),
            self.sample.context,
            authorization=changes.get("authorization"),
            client_token=changes.get("client_token"),
            limits=limits,
        )
        self.session.opened(self.outlet)

    def say(self, **message: Any) -> None:
        self.session.received(json.dumps(message))

    def subscribe(self, operation_id: str, query: str, **variables: Any) -> None:
        kind = "start" if self.legacy else "subscribe"
        self.say(id=operation_id, type=kind, payload={"query": query, "variables": variables})

    @property
    def legacy(self) -> bool:
        return isinstance(self.session._dialect, ApolloDialect)

    async def begun(self, **payload: Any) -> "Conversation":
        self.say(type="connection_init", payload=payload)
        assert await self.outlet.next() == {"type": "connection_ack"}
        return self


@pytest.fixture(params=[TransportDialect, ApolloDialect])
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return request.param()  # type: ignore[no-any-return]


async def test_a_query_is_answered_and_completed(dialect: Dialect) -> None:
    talk = await Conversation(dialect).begun()
    talk.subscribe("1", "query($n: Int!) { count(number: $n) }", n=3)
    kind = "data" if talk.legacy else "next"
    answer = {"id": "1", "type": kind, "payload": {"data": {"count": 3}}}
    assert await talk.outlet.next() == answer
    assert await talk.outlet.next() == {"id": "1", "type": "complete"}


async def test_a_publish_sent_after_a_subscribe_reaches_that_subscription(
    dialect: Dialect,
) -> None:
    talk = await Conversation(dialect).begun()
    feed = talk.sample.feed
    feed.join_gate = asyncio.Event()
    talk.subscribe("s", "subscription { items }")
    talk.subscribe("p", "mutation { publish(data: 1) }")
    talk.subscribe("q", "{ hello }")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert talk.outlet.sent == []
    feed.join_gate.set()
    frames = [await talk.outlet.next() for _ in range(5)]
    payloads = {frame["id"]: frame["payload"] for frame in frames if "payload" in frame}
    assert payloads["s"] == {"data": {"items": 1}}
    assert payloads["p"] == {"data": {"publish": 1}}
    assert payloads["q"] == {"data": {"hello": "hello world"}}


async def test_an_operation_that_its_group_dropped_closes_so_that_the_client_resumes(
    dialect: Dialect,
) -> None:
    talk = await Conversation(dialect).begun()
    talk.session.member("s").fail(DeliveryFailed())
    assert await talk.outlet.close_code() == CloseCode.TRY_AGAIN_LATER


@pytest.mark.parametrize("replaying", [False, True])
async def test_a_subscription_whose_right_is_withdrawn_ends_alone(
    dialect: Dialect, replaying: bool
) -> None:
    talk = await Conversation(dialect).begun()
    feed = talk.sample.feed
    if replaying:
        feed.begin_gate = asyncio.Event()
    talk.subscribe("s", "subscription { items }")
    await feed.until("joined", 1)
    await asyncio.sleep(0)
    talk.session.member("s").fail(Forbidden("you are banned"))
    frame = await talk.outlet.next()
    error = frame["payload"] if talk.legacy else frame["payload"][0]
    assert (frame["id"], frame["type"]) == ("s", "error")
    assert (error["message"], error["extensions"]) == ("you are banned", {"code": "FORBIDDEN"})
    await feed.until("left", 1)
    talk.session.member("s").fail(Forbidden("again"))
    feed.begin_gate = None
    # Its id is free, and the others go on.
    talk.subscribe("s", "subscription { items }")
    await feed.until("joined", 2)
    await asyncio.sleep(0)
    assert await feed.publish("after") == 1
    assert (await talk.outlet.next())["payload"] == {"data": {"items": "after"}}
    assert talk.outlet.closed is None


async def test_mutations_run_side_by_side() -> None:
    talk = await Conversation().begun()
    talk.sample.feed.join_gate = asyncio.Event()
    talk.subscribe("slow", "mutation { slowPublish(data: 1) }")
    talk.subscribe("quick", "mutation { publish(data: 1) }")
    assert (await talk.outlet.next())["id"] == "quick"


async def test_complete_ends_a_subscription_and_frees_its_id(dialect: Dialect) -> None:
    talk = await Conversation(dialect).begun()
    talk.subscribe("s", "subscription { items }")
    await talk.sample.feed.until("joined", 1)
    talk.say(id="s", type="stop" if talk.legacy else "complete")
    talk.subscribe("s", "subscription { items }")
    await talk.sample.feed.until("left", 1)
    await talk.sample.feed.until("joined", 2)
    await talk.sample.feed.publish("after")
    assert (await talk.outlet.next())["payload"] == {"data": {"items": "after"}}


async def test_complete_before_the_join_leaves_nothing_behind_and_lets_the_next_begin() -> None:
    talk = await Conversation().begun()
    talk.sample.feed.join_gate = asyncio.Event()
    talk.subscribe("s", "subscription { items }")
    talk.subscribe("t", "{ hello }")
    await asyncio.sleep(0)
    talk.say(id="s", type="complete")
    assert (await talk.outlet.next())["id"] == "t"
    assert talk.sample.feed.joined == 0


async def test_a_stopped_mutation_is_carried_out_without_an_answer() -> None:
    talk = await Conversation().begun()
    feed = talk.sample.feed
    feed.join_gate = asyncio.Event()
    feed.join_gate.set()
    talk.subscribe("s", "subscription { items }")
    await feed.until("joined", 1)
    feed.join_gate.clear()
    talk.subscribe("m", "mutation { slowPublish(data: 7) }")
    await asyncio.sleep(0)
    talk.say(id="m", type="complete")
    feed.join_gate.set()
    assert await talk.outlet.next() == {
        "id": "s",
        "type": "next",
        "payload": {"data": {"items": 7}},
    }
    assert talk.outlet.sent == []


async def test_errors_of_one_operation_end_that_one_only(dialect: Dialect) -> None:
    talk = await Conversation(dialect).begun()
    cases = {
        "{ hello": "GRAPHQL_PARSE_FAILED",
        "{ nothing }": "GRAPHQL_VALIDATION_FAILED",
        "query($n: Int!) { count(number: $n) }": "BAD_USER_INPUT",
        "subscription { items(refuse: true) }": "FORBIDDEN",
    }
    for query, code in cases.items():
        talk.subscribe("x", query)
        frame = await talk.outlet.next()
        error = frame["payload"] if talk.legacy else frame["payload"][0]
        assert (frame["type"], frame["id"]) == ("error", "x")
        assert error["extensions"]["code"] == code
    assert talk.outlet.closed is None


async def test_a_source_that_fails_is_told_masked(caplog: pytest.LogCaptureFixture) -> None:
    talk = await Conversation().begun()
    talk.sample.feed.failure = RuntimeError("SELECT secret")
    talk.subscribe("s", "subscription { items }")
    frame = await talk.outlet.next()
    assert frame["type"] == "error"
    assert frame["payload"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert "SELECT" not in json.dumps(frame)
    assert "SELECT secret" in caplog.text


async def test_a_defect_while_reading_closes_under_an_id_of_the_log(
    dialect: Dialect, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_tokens: str | None) -> Any:
        raise RuntimeError("SELECT secret")

    talk = Conversation(dialect, viewer_of=broken)
    talk.say(type="connection_init")
    assert await talk.outlet.close_code() == CloseCode.INTERNAL_ERROR
    assert talk.outlet.closed is not None
    reason = talk.outlet.closed[1]
    assert reason.startswith("internal server error (id ")
    assert reason.removeprefix("internal server error (id ").rstrip(")") in caplog.text


@pytest.mark.parametrize(
    "data", ["[" + "{}," * 200_000 + "{}]", "[" * 500 + "]" * 500], ids=["wide", "deep"]
)
async def test_a_payload_beyond_the_bounds_is_an_error_of_that_operation_only(
    dialect: Dialect, data: str
) -> None:
    talk = await Conversation(dialect).begun()
    kind = "start" if talk.legacy else "subscribe"
    payload = f'{{"query": "{{ hello }}", "variables": {{"d": {data}}}}}'
    talk.session.received(f'{{"payload": {payload}, "id": "x", "type": "{kind}"}}')
    frame = await talk.outlet.next()
    error = frame["payload"] if talk.legacy else frame["payload"][0]
    assert (frame["type"], frame["id"]) == ("error", "x")
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert "allowed" in error["message"]
    talk.subscribe("x", "{ hello }")
    assert (await talk.outlet.next())["payload"] == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"connection_init","payload":{"a":[%s]}}',
        '{"type":"pong","payload":{"a":[%s]}}',
        '{"type":"complete","id":"x","a":[%s]}',
        '{"type":"subscribe","payload":[%s]}',
        '{"type":"start","id":["x"],"payload":[%s]}',
    ],
)
async def test_any_other_message_beyond_the_bounds_closes(dialect: Dialect, text: str) -> None:
    talk = await Conversation(dialect).begun()
    talk.session.received(text % ("1," * 200_000 + "1"))
    assert await talk.outlet.close_code() == CloseCode.MALFORMED
    assert talk.outlet.closed is not None
    assert "at most 100000 are allowed" in talk.outlet.closed[1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("null", "the message is null; allowed is a JSON object"),
        ('{"type":false}', "type is false; allowed are"),
        ('{"type":"complete","id":1.5}', "id is 1.5; allowed is a string"),
        ('{"type":"connection_init","payload":[true]}', "payload is a list of 1; allowed is"),
    ],
)
async def test_a_reason_speaks_of_json(dialect: Dialect, text: str, reason: str) -> None:
    """Python's False, None and Decimal('1.5') mean nothing to whoever wrote the client."""
    talk = Conversation(dialect)
    talk.session.received(text.replace("complete", "stop") if talk.legacy else text)
    assert await talk.outlet.close_code() == CloseCode.MALFORMED
    assert talk.outlet.closed is not None
    assert talk.outlet.closed[1].startswith(reason)


async def test_a_slow_reader_is_closed_and_may_come_back() -> None:
    talk = await Conversation().begun()
    talk.subscribe("s", "subscription { items }")
    await talk.sample.feed.until("joined", 1)
    await talk.sample.feed.publish(TOO_SLOW)
    assert await talk.outlet.close_code() == CloseCode.TRY_AGAIN_LATER
    await talk.sample.feed.until("left", 1)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"authToken": "bad"}, CloseCode.UNAUTHORIZED),
        ({"Authorization": "Bearer bad"}, CloseCode.UNAUTHORIZED),
        ({"Authorization": "Basic bad"}, CloseCode.UNAUTHORIZED),
        ({"authToken": 5}, CloseCode.UNAUTHORIZED),
        ({"authToken": "expired"}, CloseCode.FORBIDDEN),
        ("text", CloseCode.MALFORMED),
    ],
)
async def test_a_bad_introduction_closes(dialect: Dialect, payload: object, code: int) -> None:
    talk = Conversation(dialect)
    talk.say(type="connection_init", payload=payload)
    assert await talk.outlet.close_code() == code
    if talk.legacy and code != CloseCode.MALFORMED:
        assert (await talk.outlet.next())["type"] == "connection_error"


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {"authToken": None}}])
async def test_an_introduction_needs_no_payload(dialect: Dialect, payload: dict[str, Any]) -> None:
    talk = Conversation(dialect)
    talk.say(type="connection_init", **payload)
    assert await talk.outlet.next() == {"type": "connection_ack"}


async def test_the_token_may_come_with_the_handshake() -> None:
    talk = await Conversation(authorization="Bearer anna").begun()
    talk.subscribe("1", "{ whoami }")
    assert (await talk.outlet.next())["payload"] == {"data": {"whoami": "anna"}}
    talk = await Conversation(authorization="Bearer anna").begun(authToken="bert")
    talk.subscribe("1", "{ whoami }")
    assert (await talk.outlet.next())["payload"] == {"data": {"whoami": "bert"}}


async def test_a_client_token_may_come_with_either(dialect: Dialect) -> None:
    for shaken, said, client in ((None, "c1", "c1"), ("c2", None, "c2"), ("c2", "c1", "c1")):
        talk = await Conversation(dialect, client_token=shaken).begun(clientToken=said)
        talk.subscribe("1", "{ signedClient }")
        assert (await talk.outlet.next())["payload"] == {"data": {"signedClient": client}}


async def test_a_second_introduction_closes() -> None:
    talk = await Conversation().begun()
    talk.say(type="connection_init")
    assert await talk.outlet.close_code() == CloseCode.TOO_MANY


async def test_no_introduction_in_time_closes(dialect: Dialect) -> None:
    talk = Conversation(dialect, SessionLimits(init_timeout_seconds=0.01))
    assert await talk.outlet.close_code() == CloseCode.INITIALISATION_TIMEOUT


async def test_an_operation_before_the_introduction_closes(dialect: Dialect) -> None:
    talk = Conversation(dialect)
    talk.subscribe("1", "{ hello }")
    assert await talk.outlet.close_code() == CloseCode.UNAUTHORIZED


async def test_an_id_in_use_closes(dialect: Dialect) -> None:
    talk = await Conversation(dialect).begun()
    talk.subscribe("s", "subscription { items }")
    talk.subscribe("s", "{ hello }")
    assert await talk.outlet.close_code() == CloseCode.CONFLICT
    assert talk.sample.contexts[0].closed


@pytest.mark.parametrize("error", [RateLimited("x"), Forbidden("x"), Unavailable("x")])
async def test_any_refusal_of_the_introduction_closes_with_its_own_code(
    error: WidgetwireError,
) -> None:
    """Three errors were known here; any other was logged as a defect and closed with 1011."""

    def refusing(*_tokens: str | None) -> Viewer:
        raise error

    talk = Conversation(viewer_of=refusing)
    talk.say(type="connection_init")
    assert await talk.outlet.close_code() == outcome_of(error).close


async def test_the_end_of_the_token_closes() -> None:
    def expiring(*_tokens: str | None) -> Viewer:
        return Viewer("anna", DEFAULT_PERMISSIONS, expires_at=time.time() + 0.05)

    talk = await Conversation(viewer_of=expiring).begun()
    assert await talk.outlet.close_code() == CloseCode.FORBIDDEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "null",
        '"text"',
        "5",
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}",
        '{"type":5}',
        '{"type":["subscribe"]}',
        '{"type":"next","id":"1"}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","id":["1"],"payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":1,"payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":"","payload":{"query":"{hello}"}}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"1","payload":[]}',
        '{"type":"subscribe","id":"1","payload":{}}',
        '{"type":"subscribe","id":"1","payload":{"query":5}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{hello}","operationName":1}}',
        '{"type":"complete"}',
        '{"type":"ping","payload":5}',
        '{"type":"connection_init","payload":NaN}',
    ],
)
async def test_what_is_no_message_closes_with_a_reason(text: str) -> None:
    talk = await Conversation().begun()
    talk.session.received(text)
    assert await talk.outlet.close_code() == CloseCode.MALFORMED
    assert talk.outlet.closed is not None
    assert talk.outlet.closed[1]


async def test_a_legacy_start_without_a_document_is_an_error_of_that_operation() -> None:
    talk = await Conversation(ApolloDialect()).begun()
    talk.say(id="1", type="start", payload={})
    frame = await talk.outlet.next()
    assert (frame["type"], frame["payload"]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")


async def test_a_binary_message_closes() -> None:
    talk = await Conversation().begun()
    talk.session.received_binary()
    assert await talk.outlet.close_code() == CloseCode.MALFORMED


async def test_pings_are_answered_and_sent() -> None:
    talk = Conversation(limits=SessionLimits(heartbeat_seconds=0.01))
    talk.say(type="ping")
    assert await talk.outlet.next() == {"type": "pong"}
    talk.say(type="ping", payload={"at": 1.5})
    assert await talk.outlet.next() == {"type": "pong", "payload": {"at": 1.5}}
    talk.say(type="pong")
    await talk.begun()
    assert await talk.outlet.next() == {"type": "ping"}
    assert await talk.outlet.next() == {"type": "ping"}
    talk.session.lost()


async def test_the_legacy_goodbye_closes() -> None:
    talk = await Conversation(ApolloDialect()).begun()
    talk.say(type="connection_terminate")
    assert await talk.outlet.close_code() == CloseCode.NORMAL


async def test_too_much_in_flight_pauses_reading() -> None:
    limits = SessionLimits(operations=OperationLimits(max_in_flight=2))
    talk = await Conversation(limits=limits).begun()
    feed = talk.sample.feed
    talk.subscribe("s", "subscription { items }")
    talk.subscribe("0", "{ hello }")
    for _ in range(2):
        await talk.outlet.next()
    await asyncio.sleep(0)
    feed.join_gate = asyncio.Event()
    talk.subscribe("1", "{ slow }")
    assert talk.outlet.is_reading()
    talk.subscribe("2", "{ slow }")
    assert not talk.outlet.is_reading()
    feed.join_gate.set()
    for _ in range(4):
        await talk.outlet.next()
    await asyncio.sleep(0)
    assert talk.outlet.is_reading()


async def test_too_many_subscriptions_are_refused_one_by_one() -> None:
    limits = SessionLimits(operations=OperationLimits(max_subscriptions=1))
    talk = await Conversation(limits=limits).begun()
    talk.subscribe("a", "subscription { items }")
    await talk.sample.feed.until("joined", 1)
    talk.subscribe("b", "subscription { items }")
    frame = await talk.outlet.next()
    assert (frame["id"], frame["payload"][0]["extensions"]["code"]) == ("b", "RATE_LIMITED")
    talk.say(id="a", type="complete")
    await talk.sample.feed.until("left", 1)
    talk.subscribe("c", "subscription { items }")
    await talk.sample.feed.until("joined", 2)


async def test_a_lost_socket_leaves_nothing_behind() -> None:
    talk = await Conversation().begun()
    talk.subscribe("s", "subscription { items }")
    await talk.sample.feed.until("joined", 1)
    talk.session.lost()
    await talk.sample.feed.until("left", 1)
    assert talk.sample.contexts[0].closed == 1
    assert talk.session.state is State.CLOSED
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if task.get_name().startswith("graphql")]


@pytest.mark.parametrize("by", ["the peer", "us"])
async def test_a_socket_may_end_while_operations_wait_behind_a_subscription(by: str) -> None:
    """What waited was looked for where it was no more: an error, and half of the end undone."""
    talk = await Conversation().begun()
    talk.sample.feed.join_gate = asyncio.Event()
    for operation_id in ("1", "2", "3"):
        talk.subscribe(operation_id, "subscription { items }")
    if by == "the peer":
        talk.session.lost()
    else:
        talk.say(type="connection_init")
        assert await talk.outlet.close_code() == CloseCode.TOO_MANY
    (context,) = talk.sample.contexts
    assert context.closed == 1
    operations = talk.session._operations
    assert operations is not None
    await until(lambda: not operations._running, 5)
    assert not operations._by_id
    assert talk.sample.feed.joined == 0


async def test_shutdown_answers_the_mutations_under_way_first() -> None:
    talk = await Conversation().begun()
    talk.sample.feed.join_gate = asyncio.Event()
    talk.subscribe("m", "mutation { slowPublish(data: 1) }")
    await asyncio.sleep(0)
    talk.session.shutdown()
    talk.subscribe("late", "mutation { publish(data: 2) }")
    await asyncio.sleep(0)
    assert talk.outlet.closed is None
    talk.sample.feed.join_gate.set()
    assert (await talk.outlet.next())["id"] == "m"
    assert await talk.outlet.close_code() == CloseCode.SERVICE_RESTART
    assert talk.outlet.sent == [{"id": "m", "type": "complete"}]


async def test_shutdown_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    talk = await Conversation(limits=SessionLimits(shutdown_seconds=0.01)).begun()
    talk.sample.feed.join_gate = asyncio.Event()
    talk.subscribe("m", "mutation { slowPublish(data: 1) }")
    await asyncio.sleep(0)
    talk.session.shutdown()
    assert await talk.outlet.close_code() == CloseCode.SERVICE_RESTART
    assert "without their answers" in caplog.text
    talk.sample.feed.join_gate.set()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)
_types = st.sampled_from(
    [
        "connection_init",
        "subscribe",
        "start",
        "stop",
        "complete",
        "ping",
        "pong",
        "connection_terminate",
        "next",
    ]
)
_queries = st.sampled_from(
    [
        "{ hello }",
        "subscription { items }",
        "mutation { publish(data: 1) }",
        "query($n: Int!) { count(number: $n) }",
        "{ broken }",
        "{ hello",
        "subscription { items liveMessages }",
    ]
)
_messages = st.fixed_dictionaries(
    {"type": _types | _json},
    optional={
        "id": st.sampled_from(["1", "2"]) | _json,
        "payload": _json
        | st.fixed_dictionaries({"query": _queries | _json}, optional={"variables": _json}),
    },
)
_texts = _messages.map(json.dumps) | _json.map(json.dumps) | st.text(max_size=40)


@settings(deadline=None, max_examples=75)
@given(legacy=st.booleans(), polite=st.booleans(), texts=st.lists(_texts, max_size=8))
def test_any_sequence_of_texts_gives_a_defined_reply_or_close(
    legacy: bool, polite: bool, texts: list[str]
) -> None:
    async def talk() -> None:
        conversation = Conversation(ApolloDialect() if legacy else TransportDialect())
        loop_errors: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: loop_errors.append(context)
        )
        if polite:
            await conversation.begun()
        for text in texts:
            conversation.session.received(text)
            await asyncio.sleep(0)
        conversation.session.lost()
        async with asyncio.timeout(20):
            while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.wait(tasks)
        assert not loop_errors
        closed = conversation.outlet.closed
        assert closed is None or closed[0] in {1000, 4400, 4401, 4409, 4429}
        assert all(context.closed for context in conversation.sample.contexts)

    asyncio.run(talk())


class _Keys:
    """Keys that are being fetched, until a test says that they are there."""

    def __init__(self) -> None:
        self.asked = 0
        self._there = asyncio.Event()

    def viewer_of(self, token: str | None, client_token: str | None) -> Viewer:
        if not self._there.is_set():
            self.asked += 1
            raise KeysWanted(self._fetched)
        return viewer_of(token, client_token)

    async def _fetched(self) -> None:
        await self._there.wait()

    def come(self) -> None:
        self._there.set()


async def test_a_token_whose_key_is_being_fetched_holds_up_its_socket_alone(
    dialect: Dialect,
) -> None:
    keys = _Keys()
    talk = Conversation(dialect, viewer_of=keys.viewer_of)
    talk.say(type="connection_init", payload={"authToken": "anna"})
    assert talk.session.state is State.AUTHENTICATING
    assert not talk.outlet.is_reading()
    assert not talk.outlet.accepted
    keys.come()
    assert await talk.outlet.next() == {"type": "connection_ack"}
    assert talk.outlet.is_reading()
    talk.subscribe("1", "{ whoami }")
    assert (await talk.outlet.next())["payload"] == {"data": {"whoami": "anna"}}
    assert keys.asked == 1


@pytest.mark.parametrize(
    ("token", "code"), [("bad", CloseCode.UNAUTHORIZED), ("expired", CloseCode.FORBIDDEN)]
)
async def test_a_bad_token_is_refused_once_its_key_is_there(token: str, code: CloseCode) -> None:
    keys = _Keys()
    talk = Conversation(viewer_of=keys.viewer_of)
    talk.say(type="connection_init", payload={"authToken": token})
    keys.come()
    assert await talk.outlet.close_code() == code
    assert not talk.outlet.accepted


@pytest.mark.parametrize("ending", ["lost", "shutdown", "late"])
async def test_whoever_waits_for_a_key_may_go(ending: str) -> None:
    keys = _Keys()
    limits = SessionLimits(init_timeout_seconds=0.01 if ending == "late" else 10)
    talk = Conversation(viewer_of=keys.viewer_of, limits=limits)
    talk.say(type="connection_init", payload={"authToken": "anna"})
    if ending == "lost":
        talk.session.lost()
    elif ending == "shutdown":
        talk.session.shutdown()
        assert talk.outlet.closed == (CloseCode.SERVICE_RESTART, "restarting")
    else:
        assert await talk.outlet.close_code() == CloseCode.INITIALISATION_TIMEOUT
    keys.come()
    for _ in range(5):
        await asyncio.sleep(0)
    assert talk.session.state is State.CLOSED
    assert not talk.sample.contexts


AUTHENTICATE = "mutation($token: String!) { authenticate(token: $token) }"


async def test_a_new_token_replaces_the_viewer_and_the_end_but_not_the_signed_client(
    dialect: Dialect,
) -> None:
    def short_then_long(token: str | None, client_token: str | None) -> Viewer:
        lasts = 0.2 if token == "short" else 3600
        viewer = viewer_of(token, client_token)
        return dataclasses.replace(viewer, expires_at=time.time() + lasts)

    talk = await Conversation(dialect, viewer_of=short_then_long).begun(
        authToken="short", clientToken="signed-1"
    )
    ended = asyncio.Event()
    Expiry(short_then_long("short", None), ended.set)
    talk.subscribe("1", AUTHENTICATE, token="long")
    assert (await talk.outlet.next())["payload"] == {"data": {"authenticate": "long"}}
    assert talk.outlet.max_message_bytes is None
    (context,) = talk.sample.contexts
    assert (context.viewer.username, context.viewer.client_id) == ("long", "signed-1")
    async with asyncio.timeout(10):
        await ended.wait()  # as the short one would have
    await asyncio.sleep(0)
    assert talk.outlet.closed is None
    talk.session.lost()
    assert context.authenticate is None


@pytest.mark.parametrize("token", ["bad", "expired", ""])
async def test_a_new_token_that_is_refused_changes_nothing(dialect: Dialect, token: str) -> None:
    def strict(token: str | None, client_token: str | None) -> Viewer:
        return viewer_of(token or "bad", client_token)

    talk = await Conversation(dialect, viewer_of=strict).begun(authToken="anna")
    talk.subscribe("1", AUTHENTICATE, token=token)
    (error,) = (await talk.outlet.next())["payload"]["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    (context,) = talk.sample.contexts
    assert context.viewer.username == "anna"
    assert talk.outlet.closed is None


async def test_new_tokens_count_in_the_order_sent_whichever_key_is_there_first() -> None:
    keys = _Keys()

    def viewer_by_name(token: str | None, client_token: str | None) -> Viewer:
        if token == "unknown":
            return keys.viewer_of(token, client_token)
        return viewer_of(token, client_token)

    talk = await Conversation(viewer_of=viewer_by_name).begun()
    talk.subscribe("1", AUTHENTICATE, token="unknown")
    talk.subscribe("2", AUTHENTICATE, token="anna")
    talk.subscribe("3", "{ whoami }")
    assert (await talk.outlet.next())["payload"] == {"data": {"whoami": None}}
    keys.come()
    answers = [await talk.outlet.next() for _ in range(5)]
    assert [one["payload"]["data"]["authenticate"] for one in answers if "payload" in one] == [
        "unknown",
        "anna",
    ]
    (context,) = talk.sample.contexts
    assert context.viewer.username == "anna"


async def test_a_new_token_that_comes_too_late_is_nobody_s() -> None:
    keys = _Keys()
    talk = await Conversation(
        viewer_of=lambda *tokens: (
            keys.viewer_of(*tokens) if tokens[0] == "ben" else viewer_of(*tokens)
        )
    ).begun(authToken="anna")
    context = talk.sample.contexts[0]
    authenticate = context.authenticate
    assert authenticate is not None
    late = asyncio.create_task(cast("Coroutine[Any, Any, None]", authenticate("ben")))
    await asyncio.sleep(0)
    talk.session.lost()
    keys.come()
    await late
    assert context.viewer.username == "anna"


async def test_without_a_token_messages_have_a_bound_of_their_own(dialect: Dialect) -> None:
    anonymous, known = Conversation(dialect), Conversation(dialect)
    await anonymous.begun()
    await known.begun(authToken="anna")
    assert anonymous.outlet.max_message_bytes == MAX_ANONYMOUS_BYTES
    assert known.outlet.max_message_bytes is None
