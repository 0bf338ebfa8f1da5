"""What is too large or too much is refused, and nothing is lost by it: guarantee 6.

All that can be wrong with a request, on each transport: `tests.transports.test_bad_input`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served
from tests.transports.bad_requests import PROJECT

pytestmark = pytest.mark.anyio


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


async def assert_well(served: Served) -> None:
    """Assert that nothing was stored by any of the bad requests, and that good ones work."""
    async with GraphQLSocket(served) as socket:
        assert await Widget(PROJECT, "poll").stored(socket) == []
        await Widget.new().publish(socket, "good")


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
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "PAYLOAD_TOO_LARGE"}
    # Of a client without a token, whose bound is a lower one.
    assert "262144" in error["message"]
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
