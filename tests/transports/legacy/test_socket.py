import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast
from uuid import uuid4

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match
from websockets.exceptions import InvalidStatus

from app.defaults import MAX_ANONYMOUS_BYTES
from app.domain.channel import Channel
from app.domain.policy import DEFAULT_POLICY
from app.domain.query import MessageQuery
from app.domain.viewer import DEFAULT_PERMISSIONS, Permission, Viewer
from app.services.messages import MessageService
from app.transports.legacy.calls import LegacyLimits
from app.transports.legacy.session import LegacyServices, LegacySession
from app.transports.legacy.socket import LegacySockets
from app.transports.origins import OriginPolicy
from app.wire.session import MAX_UNACCEPTED_BYTES
from tests.transports.legacy.served import SECRET, LegacyServer, serving
from tests.transports.test_refusals import forget_refusals

pytestmark = pytest.mark.anyio

VIEWER = Viewer(None, DEFAULT_PERMISSIONS)
MODERATOR = Viewer(None, frozenset({Permission.MODERATE}))
POLL = Channel("YVX3ZZD4", "poll")


@pytest.fixture
async def server(database_url: str) -> AsyncIterator[LegacyServer]:
    async with serving(database_url) as running:
        yield running


def token(**claims: Any) -> str:
    return jwt.encode(claims, SECRET, "HS256")


def token_of_moderator() -> str:
    return token(sub="host", permissions=["publish", "subscribe", "moderate"])


async def test_open_is_answered_with_who_one_is_and_how_many_are_there(
    server: LegacyServer,
) -> None:
    async with server.client() as one, server.client() as two:
        reply = await one.open(client_id="c1", token=token(sub="u1", username="ann"))
        assert reply == {
            "type": "open",
            "client_id": "c1",
            "username": "ann",
            "connections": 1,
            "after": "@0",
        }
        assert (await one.next("activeConnections"))["data"] == 1
        other = await two.open()
        assert 1 <= len(other["client_id"]) <= 128
        assert other["username"] is None
        assert other["connections"] == 2
        assert (await one.next("activeConnections"))["data"] == 2
        await two.socket.close()
        assert (await one.next("activeConnections"))["data"] == 1


async def test_a_message_reaches_every_socket_of_its_channel_and_no_other(
    server: LegacyServer,
) -> None:
    async with (
        server.client() as one,
        server.client() as two,
        server.client("/c8/YVX3ZZD4/chat") as chat,
    ):
        for client in (one, two, chat):
            await client.open(client_id="c", persistent=True, token=token(username="ann"))
        record = await one.publish({"msg": "Hi", "user": "<b>John</b>"})
        assert record["data"] == {"msg": "Hi", "user": "<b>John</b>"}
        assert record["client_id"] == "c"
        assert record["username"] == "ann"
        assert set(record) == {"id", "client_id", "created", "data", "username"}
        for client in (one, two):
            assert await client.next("message") == {"type": "message", "message": record}
        await chat.publish("end")
        assert await chat.data(1) == ["end"], "nothing of the other widget came before"


async def test_messages_of_graphql_reach_legacy_sockets(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open()
        await server.services.messages.publish(VIEWER, POLL, [1, 2], client_id="graphql")
        message = (await client.next("message"))["message"]
        assert (message["data"], message["client_id"]) == ([1, 2], "graphql")


async def test_numbers_are_returned_exactly(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(persistent=True)
        exact = '{"big":12345678901234567890123,"small":1.10,"tiny":0.1000000000000000055511}'
        await client.socket.send('{"type":"publish","ref":1,"data":' + exact + "}")
        async with asyncio.timeout(10):
            texts = [await client.socket.recv() for _ in range(3)]
        assert any(exact in str(text) for text in texts)


async def test_a_socket_that_is_not_persistent_stores_nothing_and_hears_everything(
    server: LegacyServer,
) -> None:
    async with server.client() as fleeting, server.client() as lasting:
        await fleeting.open()
        await lasting.open(persistent=True)
        await fleeting.publish("gone")
        await lasting.publish("kept")
        frames = [await fleeting.next("message") for _ in range(2)]
        assert [frame["message"]["data"] for frame in frames] == ["gone", "kept"]
        assert [frame.get("persistent") for frame in frames] == [False, None]
        assert await lasting.data(2) == ["gone", "kept"]
        await fleeting.send(type="search", ref=1, query={})
        result = await fleeting.next("result")
        assert [record["data"] for record in result["resultSet"]] == ["kept"]


async def test_the_documented_search_and_group_by(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(persistent=True)
        for score, liked in ((50, True), (60, False), (70, True)):
            await client.publish({"score": score, "liked": liked})
        query = {
            "sortField": "created",
            "sortOrder": "asc",
            "offset": 0,
            "limit": 10,
            "filters": [
                {"field": "created", "operator": ">", "value": 1678724096803},
                {"field": "data.score", "operator": ">", "value": 55},
            ],
        }
        await client.send(type="search", ref="s", query=query)
        result = await client.next("result")
        assert result["ref"] == "s"
        assert result["totalRecords"] == 2
        assert [record["data"]["score"] for record in result["resultSet"]] == [60, 70]
        await client.send(type="search", ref="t", query=query | {"limit": 1})
        page = await client.next("result")
        assert (page["totalRecords"], len(page["resultSet"])) == (2, 1)
        await client.send(type="search", ref="g", query={"groupBy": "data.liked"})
        groups = await client.next("result")
        assert groups["totalRecords"] == 2
        assert groups["resultSet"] == [{"key": True, "count": 2}, {"key": False, "count": 1}]
        await client.send(type="search", ref="h", query=query | {"groupBy": "data.liked"})
        both = await client.next("result")
        assert sorted(group["count"] for group in both["resultSet"]) == [1, 1]


async def test_a_refused_call_gets_an_error_with_its_ref_and_the_socket_lives(
    server: LegacyServer,
) -> None:
    calls: list[tuple[dict[str, Any], str, str]] = [
        ({"type": "publish"}, "BAD_USER_INPUT", "publish.data is missing"),
        ({"type": "publish", "data": "x" * 70_000}, "PAYLOAD_TOO_LARGE", "65536"),
        ({"type": "publish", "data": "\x00"}, "BAD_USER_INPUT", "U+0000"),
        ({"type": "publish", "data": "\ud83d"}, "BAD_USER_INPUT", "surrogate"),
        ({"type": "publish", "data": 1, "id": ""}, "BAD_USER_INPUT", "id"),
        ({"type": "publish", "data": 1, "on_repeat": "AGAIN"}, "BAD_USER_INPUT", "KEEP, REPLACE"),
        ({"type": "publish", "data": 1, "on_repeat": "REPLACE"}, "BAD_USER_INPUT", "id is missing"),
        ({"type": "retract"}, "BAD_USER_INPUT", "retract.ids is missing"),
        ({"type": "retract", "ids": []}, "BAD_USER_INPUT", "1 to 1000"),
        ({"type": "retract", "ids": [str(uuid4())] * 1001}, "BAD_USER_INPUT", "1 to 1000"),
        ({"type": "retract", "ids": [7]}, "BAD_USER_INPUT", "retract.ids[0] is a number"),
        ({"type": "retract", "ids": ["7"]}, "BAD_USER_INPUT", "expected the id of a message"),
        (
            {"type": "retract", "ids": [str(uuid4())], "reason": "x" * 501},
            "BAD_USER_INPUT",
            "500 printable characters",
        ),
        ({"type": "search", "query": 7}, "BAD_USER_INPUT", "search.query is 7"),
        (
            {"type": "search", "query": {"filters": [{"field": "id", "operator": "~"}]}},
            "BAD_USER_INPUT",
            "query.filters[0].operator",
        ),
        ({"type": "search", "query": {"limit": 10_000}}, "BAD_USER_INPUT", "query.limit"),
        ({"type": "search", "query": {"sortField": "x"}}, "BAD_USER_INPUT", "query.sortField"),
    ]
    async with server.client() as client:
        await client.open(persistent=True, client_token="")
        for number, (call, code, says) in enumerate(calls):
            await client.send(ref=number, **call)
            error = await client.next("error")
            assert (error["ref"], error["code"]) == (number, code)
            assert says in error["message"]
        assert await client.publish("alive")
        await client.send(type="search", ref=1)
        assert (await client.next("result"))["totalRecords"] == 1, "nothing refused was stored"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", 4400),
        ("[]", 4400),
        ('{"type":"dance"}', 4400),
        ('{"type":"publish","data":NaN}', 4400),
        (b"binary", 4400),
        ('{"type":"open"}', 4409),
    ],
)
async def test_what_is_no_frame_closes_this_socket_only(
    server: LegacyServer, frame: str | bytes, code: int
) -> None:
    async with server.client() as bad, server.client() as good:
        await bad.open()
        await good.open()
        await bad.socket.send(frame)
        assert await bad.closed() == code
        assert (await bad.error())[0] == "BAD_USER_INPUT"
        await good.publish("still here")
        assert await good.data(1) == ["still here"]


async def test_a_frame_of_more_than_the_bound_closes_with_1009(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open()
        await client.socket.send("x" * (1024 * 1024 + 1))
        assert await client.closed() == 1009


@pytest.mark.parametrize(
    ("fields", "close", "code"),
    [
        ({"token": "rubbish"}, 4401, "UNAUTHENTICATED"),
        ({"token": token(exp=1)}, 4403, "UNAUTHENTICATED"),
        ({"token": token(projects=["other"])}, 4401, "FORBIDDEN"),
        ({"token": token(permissions=["publish"])}, 4401, "FORBIDDEN"),
        ({"client_id": ""}, 4400, "BAD_USER_INPUT"),
        ({"client_id": "x" * 129}, 4400, "BAD_USER_INPUT"),
        ({"persistent": "yes"}, 4400, "BAD_USER_INPUT"),
        ({"after": "nobody"}, 4400, "UNKNOWN_CURSOR"),
        ({"after": "@1"}, 4400, "UNKNOWN_CURSOR"),
    ],
)
async def test_a_bad_open_says_why_and_closes(
    server: LegacyServer, fields: dict[str, Any], close: int, code: str
) -> None:
    async with server.client() as client:
        await client.send(type="open", **fields)
        assert await client.closed() == close
        assert (await client.error())[0] == code


async def test_without_a_token_where_one_is_needed(database_url: str) -> None:
    async with serving(database_url, anonymous="deny") as server, server.client() as client:
        await client.send(type="open")
        assert await client.closed() == 4401


async def test_a_reader_may_not_publish(database_url: str) -> None:
    async with serving(database_url, anonymous="read") as server, server.client() as client:
        await client.open()
        await client.send(type="publish", ref=1, data=1)
        assert (await client.error())[0] == "UNAUTHENTICATED"


async def test_the_end_of_a_token_ends_the_socket(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(token=token(exp=time.time() + 1))
        assert await client.closed() == 4403


@pytest.mark.parametrize("path", ["/c8/a%20b/poll", "/c8/p/" + "w" * 65])
async def test_bad_ids_in_the_path_close_with_a_reason(server: LegacyServer, path: str) -> None:
    async with server.client(path) as client:
        assert await client.closed() == 4400
        assert "allowed are 1 to 64 characters" in (await client.error())[1]


async def test_pages_of_other_origins_are_refused_unless_allowed(database_url: str) -> None:
    async with serving(database_url, origins=("https://videos.example",)) as server:
        async with server.client(origin="https://videos.example") as client:
            await client.open()
        with pytest.raises(InvalidStatus, match="403"):
            async with server.client(origin="https://evil.example"):
                pass


async def test_no_open_in_time(database_url: str) -> None:
    limits = LegacyLimits(open_timeout_seconds=0.2)
    async with serving(database_url, limits=limits) as server, server.client() as client:
        assert await client.closed() == 4408
        assert "0.2 s" in (await client.error())[1]


async def test_the_same_id_is_published_once(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(client_id="c", persistent=True)
        first = await client.publish("x", id="k1")
        assert await client.publish("x", id="k1") == first
        await client.publish("y", id="k2")
        assert await client.data(2) == ["x", "y"]


async def test_a_retraction_reaches_every_socket_and_leaves_no_trace(server: LegacyServer) -> None:
    async with server.client() as one, server.client() as two:
        await one.open(client_token="", persistent=True)
        before = (await two.open())["after"]
        records = [await one.publish(text) for text in ("slip", "stays", "slip too")]
        ids = [records[0]["id"], records[2]["id"]]
        await one.send(type="retract", ref=7, ids=[*ids, ids[0]], reason="slips")
        assert await one.next("ack", ref=7) == {"type": "ack", "ref": 7, "count": 2}
        for client in (one, two):
            frame = await client.next("retract")
            assert frame == {"type": "retract", "id": frame["id"], "ids": ids, "reason": "slips"}
        await one.send(type="retract", ref=8, ids=ids)
        assert (await one.next("ack", ref=8))["count"] == 0
        await two.send(type="search", ref=9)
        assert [record["data"] for record in (await two.next("result"))["resultSet"]] == ["stays"]
        last = await one.publish("last")
    for after, data, told in (
        (before, ["stays", "last"], [ids]),
        (records[0]["id"], ["stays", "last"], [ids]),
        (frame["id"], ["last"], []),
        (last["id"], [], []),
    ):
        async with server.client() as client, server.client() as publisher:
            await publisher.open(persistent=True)
            await client.open(after=after)
            # What is live comes after all that is replayed.
            await server.services.messages.publish(VIEWER, POLL, "live", persistent=False)
            assert await client.data(len(data) + 1) == [*data, "live"]
            assert [one["ids"] for one in client._unread if one["type"] == "retract"] == told


async def test_a_vote_is_replaced_by_the_next_one(server: LegacyServer) -> None:
    async with server.client() as voter, server.client() as other, server.client() as fleeting:
        token = (await voter.open(client_token="", persistent=True))["client_token"]
        await other.open(client_token="", persistent=True)
        await fleeting.open(client_token=token)
        vote = {"id": "vote", "on_repeat": "replace"}
        first = await voter.publish("left", **vote)
        await other.publish("left", **vote)
        second = await voter.publish("right", **vote)
        assert (await other.next("retract"))["ids"] == [first["id"]]
        assert await other.data(3) == ["left", "left", "right"]
        assert sorted(await _stored(server, 9)) == ["left", "right"]
        assert await voter.publish("middle", id="vote") == second, "kept without the word"

        await fleeting.send(type="publish", ref=1, data="up", **vote)
        code, message = await fleeting.error()
        assert (code, "persistent" in message) == ("BAD_USER_INPUT", True)
        await other.send(type="retract", ref=2, ids=[second["id"]])
        assert (await other.error())[0] == "FORBIDDEN"
        async with server.client() as moderator:
            await moderator.open(token=token_of_moderator())
            await moderator.send(type="retract", ref=3, ids=[second["id"]])
            assert (await moderator.next("ack", ref=3))["count"] == 1
        await voter.send(type="publish", ref=4, data="again", **vote)
        assert (await voter.error())[0] == "REJECTED"
        assert await _stored(server, 9) == ["left"]


async def test_a_policy_is_told_where_it_is_not_the_default_and_when_it_changes(
    server: LegacyServer,
) -> None:
    policies, default = server.services.policies, json.loads(DEFAULT_POLICY.json())
    async with server.client() as early, server.client() as late, server.client() as again:
        after = (await early.open(persistent=True))["after"]
        assert (await early.next("activeConnections"))["data"] == 1
        closed = {"writers": "NOBODY", "blockedWords": ["naïve"]}
        await policies.set(MODERATOR, POLL, closed)
        assert (await early.next("policy"))["policy"] == {**default, **closed}
        await late.open()
        assert (await late.next("policy"))["policy"] == {**default, **closed}
        await early.send(type="publish", ref=1, data="x")
        assert (await early.error())[0] == "FORBIDDEN"
        await policies.set(MODERATOR, POLL, {"writers": None, "blockedWords": None})
        for client in (early, late):
            assert (await client.next("policy"))["policy"] == default
        # Away in between, it would believe in the other one.
        await again.open(after=after)
        assert (await again.next("policy"))["policy"] == default
        assert await early.publish("x")
    async with server.client() as new:
        await new.open()
        await new.publish("first")
        assert "policy" not in [frame["type"] for frame in new._unread]


async def test_a_claimed_client_id_is_no_proof_for_a_retraction(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(client_id="me", persistent=True)
        record = await client.publish("x")
        await client.send(type="retract", ref=1, ids=[record["id"]])
        code, message = await client.error()
        assert (code, "signed client id" in message) == ("FORBIDDEN", True)


async def test_calls_sent_right_after_open_are_carried_out_in_order(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.send(type="open", persistent=True)
        for number in range(500):
            await client.send(type="publish", ref=number, data=number)
        assert await client.data(500) == list(range(500))
        acks = [(await client.next("ack"))["ref"] for _ in range(500)]
        assert sorted(acks) == list(range(500))


async def test_resume_after_the_last_message_without_gap_or_repeat(server: LegacyServer) -> None:
    async with server.client() as publisher:
        await publisher.open(persistent=True)
        async with server.client() as client:
            await client.open()
            await publisher.publish(1)
            last = (await client.next("message"))["message"]["id"]
        await publisher.publish(2)
        await publisher.publish(3)
        async with server.client() as client:
            assert (await client.open(after=last))["after"] == last
            await publisher.publish(4)
            assert await client.data(3) == [2, 3, 4]


async def test_resume_before_any_message_was_heard(server: LegacyServer) -> None:
    async with server.client() as client:
        after = (await client.open())["after"]
    async with server.client() as publisher, server.client() as client:
        await publisher.open(persistent=True)
        await publisher.publish("missed")
        await client.open(after=after)
        await publisher.publish("live")
        assert await client.data(2) == ["missed", "live"]
        assert (await client.next("activeConnections"))["data"] == 2


async def test_an_empty_cursor_is_before_the_first_message(server: LegacyServer) -> None:
    """It was refused as unknown, though a client that never received a message has no other."""
    async with server.client() as publisher, server.client() as client:
        await publisher.open(persistent=True)
        await publisher.publish("first")
        assert (await client.open(after=""))["after"] == "@0"
        await publisher.publish("second")
        assert await client.data(2) == ["first", "second"]


async def test_a_long_replay_waits_for_its_reader(server: LegacyServer) -> None:
    """What is replayed is more than may wait for a slow reader, who is none yet."""
    messages = server.services.messages
    count = 300
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(messages.publish(VIEWER, POLL, {"n": number, "text": "x" * 60_000}))
    async with server.client(max_size=None, max_queue=1) as client:
        await client.open(after="@0")
        await asyncio.sleep(0.3)
        data = await client.data(count)
        assert [one["n"] for one in data] == list(range(count))


async def test_a_reader_that_stops_is_closed_and_the_others_notice_nothing(
    server: LegacyServer,
) -> None:
    messages = server.services.messages
    async with server.client(max_queue=1) as slow, server.client(max_queue=None) as quick:
        await slow.open()
        await quick.open()
        # What the kernel's buffers hold, and then more than may wait.
        for _ in range(20):
            async with asyncio.TaskGroup() as tasks:
                for _ in range(10):
                    tasks.create_task(messages.publish(VIEWER, POLL, "x" * 60_000))
            await quick.data(10)
        assert await slow.closed() == 1013
        assert (await quick.next("activeConnections", data=1))["data"] == 1


async def test_too_large_a_result_is_refused(database_url: str) -> None:
    limits = LegacyLimits(result_bytes=10_000)
    async with serving(database_url, limits=limits) as server, server.client() as client:
        await client.open(persistent=True)
        await client.publish("x" * 20_000)
        await client.send(type="search", ref=1)
        code, message = await client.error()
        assert code == "PAYLOAD_TOO_LARGE"
        assert "ask for a smaller limit" in message


async def test_thousands_of_searches_at_once_are_answered_or_refused(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(persistent=True)
        await client.publish(1)
        for number in range(3000):
            await client.send(type="search", ref=number)
        answers: dict[int, str] = {}
        async with asyncio.timeout(60):
            while len(answers) < 3000:
                frame = json.loads(await client.socket.recv())
                if "ref" in frame:
                    answers[frame["ref"]] = frame.get("code", frame["type"])
        assert set(answers.values()) == {"result", "RATE_LIMITED"}
        assert await client.publish("alive")


async def test_a_shutdown_acknowledges_what_was_begun_then_closes_with_1012(
    database_url: str,
) -> None:
    async with serving(database_url) as server, server.client() as client:
        await client.open(persistent=True)
        for number in range(300):
            await client.send(type="publish", ref=number, data=number)
        first = await client.next("ack")
        server.uvicorn.should_exit = True
        assert await client.closed() == 1012
        acked = {first["ref"]}
        while any(frame["type"] == "ack" for frame in client._unread):
            acked.add((await client.next("ack"))["ref"])
        stored = await _stored(server, 1000)
        assert acked <= set(stored)
        assert stored == list(range(len(stored))), "in order, and none in between is missing"


@pytest.mark.parametrize(
    "broken",
    ["auth.authenticator.Authenticator.viewer", "legacy.protocol.parse_frame"],
    ids=["open", "reading"],
)
async def test_a_defect_closes_under_an_id_of_the_log(
    server: LegacyServer,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The text was "internal error", and nothing said which trace in the log it belonged to."""

    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret")

    async with server.client() as client:
        monkeypatch.setattr(f"app.transports.{broken}", fail)
        await client.send(type="open")
        code, message = await client.error()
        assert await client.closed() == 1011
    assert code == "INTERNAL_SERVER_ERROR"
    assert message.startswith("internal server error (id ")
    assert message.removeprefix("internal server error (id ").rstrip(")") in caplog.text


async def test_a_defect_in_a_call_is_told_under_an_id_and_the_socket_lives_on(
    server: LegacyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret")

    async with server.client() as client:
        await client.open()
        with monkeypatch.context() as patched:
            patched.setattr("app.transports.legacy.calls.query_wire", fail)
            await client.send(type="search", ref=1, query={})
            code, message = await client.error()
        assert code == "INTERNAL_SERVER_ERROR"
        assert message.removeprefix("internal server error (id ").rstrip(")") in caplog.text
        assert await client.publish("good")


async def _stored(server: LegacyServer, limit: int) -> list[Any]:
    search = server.services.messages.search(VIEWER, POLL)
    return [m.data for m in await search.messages(POLL, MessageQuery(limit=limit))]


async def test_a_socket_that_fails_is_closed_to_resume_and_the_others_lose_nothing(
    server: LegacyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One exception in the fan-out cost those behind it a message and the publisher its ack."""
    receive = LegacySession.receive

    def fails_for_one(session: LegacySession, payloads: Sequence[bytes]) -> None:
        caller = session._calls._caller
        is_unlucky = caller is not None and caller.client_id == "unlucky"
        if is_unlucky and payloads[0].startswith(b'{"type":"message"'):
            raise ZeroDivisionError
        receive(session, payloads)

    monkeypatch.setattr(LegacySession, "receive", fails_for_one)
    async with server.client() as unlucky, server.client() as publisher, server.client() as other:
        for client, name in ((unlucky, "unlucky"), (publisher, "publisher"), (other, "other")):
            await client.open(client_id=name, persistent=True)
        acknowledged = await publisher.publish("data")
        assert (await other.next("message"))["message"] == acknowledged
        assert await unlucky.closed() == 1013


async def test_until_open_is_answered_a_frame_may_have_64_kib(server: LegacyServer) -> None:
    """200 sockets that had shown nothing could make a process hold 200 MiB."""
    async with server.client() as client:
        await client.send(type="open", padding="x" * MAX_UNACCEPTED_BYTES)
        assert await client.closed() == 1009
    async with server.client() as client:
        # Without waiting for the reply: the publish behind is taken when the peer is accepted.
        await client.send(type="open", padding="x" * (MAX_UNACCEPTED_BYTES - 100))
        await client.send(type="publish", ref=1, data="small", padding="x" * 200_000)
        assert (await client.next("ack"))["message"]["data"] == "small"


async def test_with_a_token_a_frame_may_have_more(server: LegacyServer) -> None:
    async with server.client() as client:
        await client.open(token=jwt.encode({"sub": "u1"}, SECRET, algorithm="HS256"))
        await client.send(type="publish", ref=1, data="small", padding="x" * 500_000)
        assert (await client.next("ack"))["message"]["data"] == "small"
    async with server.client() as client:
        await client.open()
        await client.send(type="publish", ref=1, data="small", padding="x" * MAX_ANONYMOUS_BYTES)
        assert await client.closed() == 1009


async def test_a_token_that_ends_while_open_waits_closes_the_socket(
    server: LegacyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an outage it waited on, and was given the leeway of clocks that differ besides."""

    async def wait(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(MessageService, "subscribe", wait)
    async with server.client() as client:
        await client.send(type="open", token=token(sub="u1", exp=time.time() + 0.1))
        assert await client.closed() == 4403
        assert await client.error() == ("UNAUTHENTICATED", "the token has expired")


async def test_a_refused_page_and_a_refused_token_leave_a_line_in_the_log(
    server: LegacyServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_refusals(monkeypatch)
    caplog.set_level("INFO", "app.transports.refusals")
    with pytest.raises(InvalidStatus):
        async with server.client(origin="https://evil.example"):
            pass
    for wrong in (token(exp=time.time() - 60), token(exp=time.time() - 90), "nonsense"):
        async with server.client() as client:
            await client.send(type="open", token=wrong)
            await client.closed()
    lines = [
        (record.levelname, record.getMessage().partition(" at the host")[0])
        for record in caplog.records
        if record.name == "app.transports.refusals"
    ]
    assert lines == [
        ("WARNING", "refused the origin 'https://evil.example'"),
        ("INFO", "authentication refused: the token has expired"),
        ("WARNING", "authentication refused: the token is not a valid JSON Web Token"),
    ]


@given(st.lists(st.sampled_from(["/", "c8", "/c8", "a", "b.c", "%", "\n", "é"]), max_size=8))
def test_they_serve_the_paths_that_their_route_matches(parts: list[str]) -> None:
    path = "".join(parts)
    sockets = LegacySockets(cast(LegacyServices, None), OriginPolicy())
    match, _ = sockets.route().matches({"type": "websocket", "path": path, "headers": []})
    assert sockets.serves(path) == (match is Match.FULL)
