"""What is refused is refused clearly, and nothing is lost by it: guarantee 6."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.acceptance.bad_requests import PROJECT, SUBSCRIPTIONS, WELL_FORMED, BadRequest
from tests.acceptance.graphql_socket import GraphQLSocket, Refused
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = pytest.mark.anyio

INTERNALS = re.compile(
    r"Traceback|asyncpg|psycopg|strawberry|graphql-core|UnsetType|UNSET|SELECT|INSERT|jsonb\b|"
    r"KeyError|ValueError|TypeError|Decimal\(|NoneType|<class|object at 0x|site-packages|\.py\b|"
    r"INTERNAL_SERVER_ERROR"
)
"""What no client may read: words of Python, of SQL and of libraries."""


@pytest.fixture
def served(pair: tuple[Served, Served]) -> Iterator[Served]:
    """A running service that wrote no traceback meanwhile."""
    before = len(pair[0].output)
    yield pair[0]
    assert "Traceback" not in pair[0].output[before:]


@pytest.fixture
async def http(served: Served) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
        yield client


def checked(errors: list[dict[str, Any]], bad: BadRequest) -> None:
    """Assert that these are one clear error."""
    (error,) = errors
    assert error["extensions"] == {"code": bad.code}
    for words in bad.says:
        assert words in error["message"]
    assert 10 < len(error["message"]) < 600
    assert not INTERNALS.search(error["message"])
    assert error["message"].isprintable()


async def assert_well(served: Served) -> None:
    """Assert that nothing was stored by any of the bad requests, and that good ones work."""
    async with GraphQLSocket(served) as socket:
        assert await Widget(PROJECT, "poll").stored(socket) == []
        await Widget.new().publish(socket, "good")


def named(requests: list[BadRequest]) -> Any:
    return pytest.mark.parametrize("bad", requests, ids=lambda bad: bad.name)


@named(WELL_FORMED)
async def test_over_http(http: httpx.AsyncClient, served: Served, bad: BadRequest) -> None:
    for accept in ("application/json", "application/graphql-response+json"):
        response = await http.post(
            "/graphql",
            content=bad.payload,
            headers={"content-type": "application/json", "accept": accept},
        )
        # 200: it has begun to execute, and has `data` besides the error.
        assert response.status_code in ({200} if "data" in response.json() else {200, 400})
        checked(response.json()["errors"], bad)
        assert not (response.json().get("data") or {}).get("publish")


async def test_nothing_was_stored(served: Served) -> None:
    await assert_well(served)


@named([*WELL_FORMED, *SUBSCRIPTIONS])
async def test_over_a_websocket_that_lives_on(served: Served, bad: BadRequest) -> None:
    async with GraphQLSocket(served) as socket:
        operation = await socket.start_raw(bad.payload)
        with pytest.raises(Refused) as refused:
            await operation.next()
        checked(refused.value.errors, bad)
        assert await socket.execute("{ __typename }") == "Query"


@named(SUBSCRIPTIONS)
async def test_over_an_event_stream(http: httpx.AsyncClient, bad: BadRequest) -> None:
    response = await http.post(
        "/graphql",
        content=bad.payload,
        headers={"content-type": "application/json", "accept": "text/event-stream"},
    )
    # The whole body: the stream ends by itself.
    (data,) = re.findall(r"^data: ?(\{.*)$", response.text, re.MULTILINE)
    checked(json.loads(data)["errors"], bad)


NOT_JSON = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a lone surrogate": rb'"\ud800"',
    "a lone surrogate in a key": rb'{"\udc00": 1}',
    "5,000 digits": b"9" * 5_000,
    "bytes that are not UTF-8": b'"\xff\xfe"',
    "a truncated character": b'"\xe2\x82"',
    "an encoded surrogate": b'"\xed\xa0\x80"',
    "a raw control character": b'"\x00"',
    "a trailing comma": b"[1,]",
    "a comment": b"1 /* one */",
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "nothing": b"",
    "hexadecimal": b"0x10",
    "a leading zero": b"007",
}
_BEFORE, _AFTER = (
    WELL_FORMED[0]
    .payload.replace("query (", "query ($data: JSON, ")
    .encode()
    .replace(b'"variables": {', b'"variables": {"data": \0, ')
    .split(b"\0")
)


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_no_json_over_http(http: httpx.AsyncClient, value: bytes) -> None:
    response = await http.post(
        "/graphql",
        content=_BEFORE + value + _AFTER,
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 400
    checked(response.json()["errors"], BadRequest("", "", "BAD_USER_INPUT", ("JSON",)))
    assert (await http.get("/healthz/ready")).status_code == 200


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON)
async def test_what_is_no_json_ends_that_websocket_only(served: Served, value: bytes) -> None:
    frame = b'{"id": "1", "type": "subscribe", "payload": ' + _BEFORE + value + _AFTER + b"}"
    async with GraphQLSocket(served) as other, GraphQLSocket(served) as socket:
        await socket.connection.send(frame, text=True)
        # 1007: not UTF-8, 4400: not a message of the protocol. Both are final.
        assert await socket.closed() in {1007, 4400}
        reason = socket.connection.close_reason
        assert reason
        assert not INTERNALS.search(reason)
        assert await other.execute("{ __typename }") == "Query"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"null", "is null"),
        (b"[]", "batching"),
        (b'"{ __typename }"', "object"),
        (b"{}", "query"),
        (b'{"query": 5}', "query is 5"),
        (b'{"query": "{ __typename }", "variables": []}', "variables"),
        (b'{"query": "{ __typename }", "variables": "{}"}', "variables"),
        (b'{"query": "{ __typename }", "operationName": 1}', "operationName"),
    ],
)
async def test_a_body_that_is_no_request(http: httpx.AsyncClient, body: bytes, says: str) -> None:
    response = await http.post(
        "/graphql", content=body, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400
    checked(response.json()["errors"], BadRequest("", "", "BAD_USER_INPUT", (says,)))


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
async def test_a_body_over_1_mib(http: httpx.AsyncClient, served: Served, declared: bool) -> None:
    body = json.dumps({"query": "{ __typename }", "padding": "a" * (1 << 20)}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    response = await http.post(
        "/graphql",
        content=body if declared else chunks(),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 413
    # Of a client without a token, whose bound is a lower one.
    expected = BadRequest("", "", "PAYLOAD_TOO_LARGE", ("262144",))
    checked(response.json()["errors"], expected)
    assert (await http.get("/healthz/ready")).status_code == 200


async def test_a_websocket_message_over_1_mib_closes_with_1009(served: Served) -> None:
    async with GraphQLSocket(served) as other, GraphQLSocket(served) as socket:
        await socket.send(type="ping", payload={"padding": "a" * (1 << 20)})
        assert await socket.closed() == 1009
        assert await other.execute("{ __typename }") == "Query"


async def test_a_thousand_bad_operations_on_one_socket_are_each_refused(served: Served) -> None:
    widget = Widget(PROJECT, "poll")
    async with GraphQLSocket(served) as socket, asyncio.timeout(30):
        results = await asyncio.gather(
            *(widget.publish(socket, "a\0b") for _ in range(1_000)), return_exceptions=True
        )
        assert {getattr(result, "code", result) for result in results} == {"BAD_USER_INPUT"}
    await assert_well(served)
