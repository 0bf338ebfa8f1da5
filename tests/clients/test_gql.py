"""gql, the Python client, against a real server: over HTTP and over both subprotocols."""

import asyncio
from typing import Any

import pytest
from gql import Client, GraphQLRequest, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from tests.served import Served

pytestmark = pytest.mark.anyio

PUBLISH = """
    mutation ($widget: ID!, $data: JSON!) {
      publish(projectId: "clients", widgetId: $widget, data: $data, clientId: "python") { id data }
    }
"""
SUBSCRIBE = """
    subscription ($widget: ID!) { messages(projectId: "clients", widgetId: $widget) { id data } }
"""
COUNT = """
    query ($widget: ID!) { messages(projectId: "clients", widgetId: $widget) { totalCount } }
"""
BAD = 'query { messages(projectId: "no project!", widgetId: "gql") { totalCount } }'


def asked(document: str, widget: str, **variables: object) -> GraphQLRequest:
    request = gql(document)
    request.variable_values = {"widget": widget, **variables}
    return request


def code_of(failure: pytest.ExceptionInfo[TransportQueryError]) -> str:
    errors: Any = failure.value.errors
    return str(errors[0]["extensions"]["code"])


async def test_gql_over_http(shared_service: Served) -> None:
    transport = AIOHTTPTransport(f"{shared_service.url}/graphql")
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        published = await session.execute(asked(PUBLISH, "http", data={"score": 1.5}))
        assert published["publish"]["data"] == {"score": 1.5}
        assert await session.execute(asked(COUNT, "http")) == {"messages": {"totalCount": 1}}
        with pytest.raises(TransportQueryError) as failure:
            await session.execute(gql(BAD))
        assert code_of(failure) == "BAD_USER_INPUT"


@pytest.mark.parametrize("subprotocol", ["graphql-transport-ws", "graphql-ws"])
async def test_gql_over_a_websocket(shared_service: Served, subprotocol: str) -> None:
    url = f"{shared_service.ws_url}/graphql"
    transport = WebsocketsTransport(url, subprotocols=[subprotocol])
    async with Client(transport=transport) as session, asyncio.timeout(30):
        received: asyncio.Queue[Any] = asyncio.Queue()

        async def listen() -> None:
            async for result in session.subscribe(asked(SUBSCRIBE, subprotocol)):
                await received.put(result["messages"]["data"])

        listening = asyncio.create_task(listen())
        # Its subscribe is sent when the task has run up to its first wait.
        await asyncio.sleep(0)
        count = 0
        while received.empty():
            count += 1
            published = await session.execute(asked(PUBLISH, subprotocol, data=count))
            assert published["publish"]["data"] == count
        assert await received.get() <= count
        assert await session.execute(asked(COUNT, subprotocol)) == {
            "messages": {"totalCount": count}
        }
        with pytest.raises(TransportQueryError) as failure:
            await session.execute(gql(BAD))
        assert code_of(failure) == "BAD_USER_INPUT"
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
