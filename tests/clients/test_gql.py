"""gql, the Python client, against a real server: over HTTP and over both subprotocols."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.served import Served

pytestmark = pytest.mark.anyio

PUBLISH = """
    mutation ($data: JSON!) {
      publish(projectId: "clients", widgetId: "gql", data: $data, clientId: "python") { id data }
    }
"""
SUBSCRIBE = 'subscription { messages(projectId: "clients", widgetId: "gql") { id data } }'
COUNT = 'query { messages(projectId: "clients", widgetId: "gql") { totalCount } }'
BAD = 'query { messages(projectId: "no project!", widgetId: "gql") { totalCount } }'


def code_of(failure: pytest.ExceptionInfo[TransportQueryError]) -> str:
    errors: Any = failure.value.errors
    return str(errors[0]["extensions"]["code"])


async def test_gql_over_http(serve: Callable[..., Served]) -> None:
    transport = AIOHTTPTransport(f"{serve().url}/graphql")
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        request = gql(PUBLISH)
        request.variable_values = {"data": {"score": 1.5}}
        published = await session.execute(request)
        assert published["publish"]["data"] == {"score": 1.5}
        assert await session.execute(gql(COUNT)) == {"messages": {"totalCount": 1}}
        with pytest.raises(TransportQueryError) as failure:
            await session.execute(gql(BAD))
        assert code_of(failure) == "BAD_USER_INPUT"


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_gql_over_a_websocket(serve: Callable[..., Served], subprotocol: str) -> None:
    transport = WebsocketsTransport(f"{serve().ws_url}/graphql", subprotocols=[subprotocol])
    async with Client(transport=transport) as session, asyncio.timeout(30):
        received: asyncio.Queue[Any] = asyncio.Queue()

        async def listen() -> None:
            async for result in session.subscribe(gql(SUBSCRIBE)):
                await received.put(result["messages"]["data"])

        listening = asyncio.create_task(listen())
        # Its subscribe is sent when the task has run up to its first wait.
        await asyncio.sleep(0)
        count = 0
        while received.empty():
            count += 1
            request = gql(PUBLISH)
            request.variable_values = {"data": count}
            published = await session.execute(request)
            assert published["publish"]["data"] == count
        assert await received.get() <= count
        assert await session.execute(gql(COUNT)) == {"messages": {"totalCount": count}}
        with pytest.raises(TransportQueryError) as failure:
            await session.execute(gql(BAD))
        assert code_of(failure) == "BAD_USER_INPUT"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
