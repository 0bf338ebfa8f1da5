"""Nothing that users send gets into the log, at its most talkative, whatever goes wrong."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import jwt
import pytest
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.config import Settings
from app.errors import ConfigurationError
from app.storage.writer import MessageWriter
from app.telemetry.logs import LogThrottle, configure_logging
from app.wire import closings
from tests.hosted import hosted
from tests.postgres_faults import refusing
from tests.transports.raw_http import answer_to
from tests.transports.test_refusals import forget_refusals

pytestmark = pytest.mark.anyio

MARK = "mxq7"
"""In everything that must not be found."""
KEY = f"{MARK}-key-of-more-than-thirty-two-bytes"
CHANNEL = 'projectId: "p", widgetId: "w"'


_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""
_CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def marked(place: str) -> str:
    """Return a text to be looked for."""
    return f"{MARK}-{place}-{uuid4().hex}"


def token(*permissions: str, **claims: Any) -> str:
    """Return a good token with a marked user name."""
    claims = {"sub": "user-17", "username": marked("username"), **claims}
    if permissions:
        claims["permissions"] = [*permissions]
    return jwt.encode(claims, KEY, "HS256")


@pytest.fixture
async def log(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[io.StringIO]:
    """All that is written at the lowest level, with nothing withheld for what came before."""
    forget_refusals(monkeypatch)
    monkeypatch.setattr(closings, "_throttle", LogThrottle(others="others"))
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("app", "alembic", "asyncio", "httpx", "uvicorn", "websockets"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)


@pytest.fixture
async def host(log: io.StringIO, database_url: str) -> AsyncIterator[str]:
    assert not log.closed
    with_password = database_url.replace("postgres@", f"postgres:{marked('password')}@")
    assert MARK in with_password
    async with hosted(with_password, jwt_secret=KEY, access_log=True) as address:
        yield address


async def over_http(host: str) -> None:
    """Send what is marked in every place of a request."""
    good = {"Authorization": f"Bearer {token('publish', 'search', 'subscribe', 'moderate')}"}
    admin = {"Authorization": f"Bearer {token('admin')}"}
    url = f"http://{host}/graphql"
    data = {"text": marked("data"), marked("name"): 1}
    publish = f"mutation ($d: JSON!, $i: ID) {{ publish({CHANNEL}, data: $d, id: $i) {{ id }} }}"
    search = f"""query Named($q: MessageQuery!) {{
        messages({CHANNEL}, query: $q) {{ totalCount messages {{ id }} }}
    }}"""
    ban = """mutation ($input: BanInput!) { ban(projectId: "p", input: $input) { id } }"""
    policy = f"""mutation ($p: ChannelPolicyInput!) {{
        setChannelPolicy({CHANNEL}, policy: $p) {{ writers }}
    }}"""
    filters = [{"field": "data.text", "operator": "CONTAINS", "value": marked("filter")}]
    wrong = [{"field": marked("field"), "operator": "EQ", "value": marked("value")}]
    bodies: list[tuple[dict[str, str], str, dict[str, Any]]] = [
        (good, publish, {"d": data, "i": marked("key")}),
        (good, publish, {"d": data, "i": marked("key") + "\n"}),
        (good, publish, {marked("variable"): 1}),
        (good, publish, {"d": "x" * 70_000 + marked("large")}),
        (good, search, {"q": {"filters": filters}}),
        (good, search, {"q": {"filters": wrong}}),
        (good, search, {"q": {"groupBy": f"data.{marked('group')}"}}),
        (good, f"{{ {marked('document')} }}", {}),
        (good, "{ secret(text: 1" + marked("document"), {}),
        (good, ban, {"input": {"username": marked("banned"), "reason": marked("reason")}}),
        (good, policy, {"p": {"blockedWords": [marked("word")], "dataSchema": None}}),
        (good, policy, {"p": {"dataSchema": {"type": marked("schema")}}}),
        (good, publish, {"d": data}),
        (admin, f"mutation {{ deleteMessages({CHANNEL}) }}", {}),
        ({"Authorization": f"Bearer {marked('token')}"}, publish, {"d": data}),
        ({"Authorization": f"Basic {marked('basic')}"}, publish, {"d": data}),
        ({"Authorization": f"Bearer {token(exp=1)}"}, publish, {"d": data}),
        ({"Authorization": f"Bearer {token(projects=marked('claim'))}"}, publish, {"d": data}),
        ({"Widgetwire-Client": marked("client")}, publish, {"d": data}),
        ({"X-Request-Id": marked("id") + " no id"}, publish, {"d": data}),
    ]
    async with httpx.AsyncClient() as client:
        for headers, query, variables in bodies:
            body = {"query": query, "variables": variables}
            answer = await client.post(url, json=body, headers=headers)
            assert answer.status_code < 500
        await client.post(url, content=marked("no json"), headers={"Content-Type": "text/plain"})
        json_type = {"Content-Type": "application/json"}
        await client.post(url, content=marked("no json"), headers=json_type)
        for parameters in ({"query": marked("get")}, {"token": marked("parameter")}):
            await client.get(url, params=parameters)
        for media_type in ("text/event-stream", "multipart/mixed"):
            for query in (
                f'subscription {{ messages({CHANNEL}, after: "{marked("after")}") {{ id }} }}',
                f"subscription {{ {marked('field')} }}",
            ):
                body = {"query": query}
                headers = {"Accept": media_type, "Last-Event-ID": marked("event"), **good}
                await client.post(url, json=body, headers=headers)
        await client.get(f"http://{host}/healthz/ready", params={"secret": marked("health")})
    port = int(host.rpartition(":")[2])
    for request in (
        f"GET /graphql?{marked('target')} HTTP/9.9\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: a\r\nHost: {marked('host')}\r\n\r\n",
        f"{marked('nonsense')}\r\n\r\n",
    ):
        await answer_to(port, request.encode())


async def on_socket(url: str, protocol: str | None, *frames: object) -> None:
    """Say frames on one socket, texts as they are, and read until the server says no more."""
    protocols = [Subprotocol(protocol)] if protocol else None
    async with connect(f"{url}?token={marked('parameter')}", subprotocols=protocols) as socket:
        with suppress(ConnectionClosed):
            for frame in frames:
                await socket.send(frame if isinstance(frame, str) else json.dumps(frame))
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await socket.recv()
            await socket.close(4000, marked("goodbye"))


async def over_sockets(host: str) -> None:
    """The same on all sockets."""
    good = token("publish", "search", "subscribe", "moderate")
    graphql = f"ws://{host}/graphql"
    publish = f"mutation ($d: JSON!) {{ publish({CHANNEL}, data: $d) {{ id }} }}"
    operation = {"query": publish, "variables": {"d": marked("data")}}
    malformed = {"query": marked("document"), "variables": marked("variables")}
    renewed = {
        "query": "mutation ($t: String!) { authenticate(token: $t) { sub } }",
        "variables": {"t": marked("token")},
    }
    talks: list[Any] = []
    for protocol, start in (("graphql-transport-ws", "subscribe"), ("graphql-ws", "start")):
        begin = {"type": "connection_init", "payload": {"authToken": good}}
        for frames in (
            [begin, {"type": start, "id": marked("operation"), "payload": operation}],
            [begin, {"type": start, "id": "1", "payload": malformed}],
            [begin, {"type": start, "id": "2", "payload": renewed}],
            [begin, {"type": marked("type")}],
            [begin, *[{"type": start, "id": marked("same")[:9], "payload": operation}] * 2],
            [{"type": "connection_init", "payload": {"authToken": marked("token")}}],
            [{"type": "connection_init", "payload": {"clientToken": marked("token")}}],
            [marked("no json")],
        ):
            talks.append(on_socket(graphql, protocol, *frames))
    client_id = marked("client")
    begin_legacy = {"type": "open", "persistent": True, "token": good, "client_id": client_id}
    conversations: list[list[Any]] = [
        [
            begin_legacy,
            {"type": "publish", "ref": 1, "data": marked("data"), "id": marked("key")},
            {"type": "publish", "ref": marked("ref"), "data": marked("data"), "id": 7},
            {"type": "search", "ref": 2, "query": {"filters": [{"field": marked("field")}]}},
            {"type": "retract", "ref": 3, "ids": [marked("id")], "reason": marked("reason")},
            {"type": "auth", "ref": 4, "token": marked("token")},
        ],
        [{"type": "open", "token": marked("token")}],
        [{"type": "open", "client_token": marked("token")}],
        [{"type": "open", "after": marked("after")}],
        [{"type": marked("type")}],
        [marked("no json")],
    ]
    talks += [on_socket(f"ws://{host}/c8/p/w", None, *frames) for frames in conversations]
    await asyncio.gather(*talks)


async def with_faults(host: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same while the database refuses, quotes, and goes away, and the service is broken."""
    body = {
        "query": f"mutation ($d: JSON!) {{ publish({CHANNEL}, data: $d) {{ id }} }}",
        "variables": {"d": marked("data")},
    }
    legacy = [
        {"type": "open", "persistent": True},
        {"type": "publish", "ref": 1, "data": marked("data")},
    ]
    async with httpx.AsyncClient() as client:

        async def publish() -> httpx.Response:
            answer = await client.post(f"http://{host}/graphql", json=body)
            await on_socket(f"ws://{host}/c8/p/w", None, *legacy)
            return answer

        async with refusing(database_url):
            assert "UNAVAILABLE" in (await publish()).text
        async with refusing(database_url, "XX000"):
            assert "INTERNAL_SERVER_ERROR" in (await publish()).text
        admin = await asyncpg.connect(database_url)
        async with admin.transaction():
            await admin.execute("LOCK TABLE messages")
            publishing = asyncio.create_task(publish())
            while not await admin.fetchval(_WAITING):  # noqa: ASYNC110 - Postgres tells nobody
                await asyncio.sleep(0.01)
            await admin.execute(_CUT)
        await admin.close()
        assert "data" in (await publishing).json(), "it comes back"

        async def broken(_self: object, batch: Any, **_: object) -> None:
            raise ValueError(f"this cannot be stored: {batch[0].draft.data_json!r}")

        monkeypatch.setattr(MessageWriter, "store", broken)
        answer = await publish()
        request_id = answer.headers["x-request-id"]
        text = f"internal server error (id {request_id})"
        assert answer.json()["errors"][0]["message"] == text


async def test_no_token_data_name_or_query_is_ever_logged(
    host: str, database_url: str, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    await over_http(host)
    await over_sockets(host)
    await with_faults(host, database_url, monkeypatch)
    written = log.getvalue()
    found = [line for line in written.splitlines() if MARK in line]
    assert not found, found[0]
    entries = [json.loads(line) for line in written.splitlines()]
    events = {entry["event"] for entry in entries}
    assert events >= {
        "ban.made",
        "database.back",
        "database.lost",
        "database.refuses",
        "error.masked",
        "messages.deleted",
        "policy.changed",
        "request.answered",
        "request.refused",
        "socket.closed",
        "socket.closed_by_server",
        "socket.opened",
        "token.refused",
    }
    (ban,) = (entry for entry in entries if entry["event"] == "ban.made")
    assert ban.items() >= {"project": "p", "mode": "MUTE", "moderator": "user-17"}.items()
    asked = next(entry for entry in entries if entry.get("request_id") == ban["request_id"])
    assert asked["connection_id"] == ban["connection_id"]
    named = [entry for entry in entries if entry.get("operation") == "Named"]
    assert {entry["path"] for entry in named} == {"/graphql"}
    # Each masked error has the id that its client was told.
    masked = [entry for entry in entries if entry["event"] == "error.masked"]
    assert any(entry["error_id"] == entry.get("request_id") for entry in masked)


@pytest.mark.parametrize(
    "settings",
    [
        {"jwt_secret": MARK},
        {"client_secret": MARK},
        {"database_url": f"mysql://user:{MARK}@host/db"},
        {"broadcast_url": f"redis//:{MARK}@host"},
        {"broadcast_url": f"nats://user:{MARK}@host"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_a_wrong_setting_is_told_without_its_secret(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**settings)
    assert not isinstance(caught.value.__cause__, ValidationError)
    assert MARK not in str(caught.value)
