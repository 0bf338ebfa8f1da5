"""The service's traces, as a collector gets them: over OTLP, from real requests."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from app.telemetry.traces import TRACES
from tests.hosted import hosted
from tests.telemetry.collector import Collector, collecting

pytestmark = pytest.mark.anyio

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
UNSAMPLED = f"00-{TRACE[::-1]}-{PARENT}-00"
PUBLISH = """
mutation Vote($data: JSON!) { publish(projectId: "p", widgetId: "w", data: $data) { id } }
"""
SECRET = "secret-datum"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", running.url)
        patch.setenv("OTEL_SERVICE_NAME", "widgets-eu")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield running


@pytest.fixture
async def host(collector: Collector, database_url: str) -> AsyncIterator[str]:
    assert collector.url
    async with hosted(database_url, tracing=True) as address:
        yield address
    assert TRACES.recorder is None


async def published(host: str, *headers: tuple[str, str]) -> httpx.Response:
    body = {"query": PUBLISH, "variables": {"data": SECRET}}
    async with httpx.AsyncClient() as client:
        return await client.post(f"http://{host}/graphql", json=body, headers=[*headers])


async def said(socket: Any, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    async with asyncio.timeout(10):
        while (message := json.loads(await socket.recv()))["type"] != kind:
            pass
    return dict(message)


async def test_a_publish_its_commit_and_its_delivery_are_one_trace(
    host: str, collector: Collector
) -> None:
    subscription = 'subscription { messages(projectId: "p", widgetId: "w") { id } }'
    async with connect(
        f"ws://{host}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
    ) as socket:
        await socket.send('{"type": "connection_init"}')
        await said(socket, "connection_ack")
        for number in range(2):
            operation = {"type": "subscribe", "id": str(number), "payload": {"query": subscription}}
            await socket.send(json.dumps(operation))
        ping = {"type": "subscribe", "id": "ping", "payload": {"query": "{ __typename }"}}
        await socket.send(json.dumps(ping))
        await said(socket, "complete")  # The subscriptions have joined.
        answer = await published(host, ("traceparent", TRACEPARENT), ("X-Request-Id", "mine"))
        await said(socket, "next")
    assert answer.json()["data"]["publish"]["id"]
    assert answer.headers["x-request-id"] == "mine"
    (request,) = collector.spans("POST")
    assert (request.trace_id, request.parent, request.kind) == (TRACE, PARENT, 2)
    assert request.facts == {
        "http.request.method": "POST",
        "url.path": "/graphql",
        "http.response.status_code": 200,
    }
    (mutation,) = collector.spans("mutation")
    assert mutation.parent == request.id
    expected = {"graphql.operation.type": "mutation", "graphql.operation.name": "Vote"}
    assert mutation.facts == expected
    (commit,) = collector.spans("commit")
    assert (commit.trace_id, commit.parent) == (TRACE, mutation.id)
    (statement,) = collector.spans("SELECT publish_messages")
    assert statement.parent == commit.id
    assert statement.facts["db.system.name"] == "postgresql"
    (deliver,) = collector.spans("deliver")
    assert (deliver.trace_id, deliver.parent) == (TRACE, mutation.id)
    facts = {"widgetwire.channel": "p/w", "widgetwire.groups": 1, "widgetwire.members": 2}
    assert deliver.facts == facts
    assert len(collector.spans("subscription", 2)) == 2
    assert {one["service.name"] for one in collector.resources} == {"widgets-eu"}
    assert SECRET.encode() not in b"".join(collector.raw)


async def test_what_a_caller_does_not_sample_leaves_nothing(
    host: str, collector: Collector
) -> None:
    await published(host, ("traceparent", UNSAMPLED))
    # Sent later, and there: the other would have come before it.
    await published(host, ("traceparent", TRACEPARENT.replace("0af", "1af")))
    await asyncio.to_thread(collector.spans, "commit", 2)
    assert bytes.fromhex(UNSAMPLED.split("-")[1]) not in b"".join(collector.raw)


async def test_operations_of_a_socket_and_legacy_calls_are_traces_of_their_own(
    host: str, collector: Collector
) -> None:
    trace = TRACE.replace("0af", "2af")
    async with connect(
        f"ws://{host}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]
    ) as socket:
        await socket.send('{"type": "connection_init"}')
        query = "query Named { channelPolicy(projectId: 1, widgetId: 2) { writers } }"
        payload = {"query": query, "extensions": {"traceparent": f"00-{trace}-{PARENT}-01"}}
        await socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        await said(socket, "complete")
        bad = {"query": query, "extensions": {"traceparent": 7}}
        await socket.send(json.dumps({"type": "subscribe", "id": "2", "payload": bad}))
        await said(socket, "complete")
    async with connect(f"ws://{host}/c8/p/w") as socket:
        await socket.send('{"type": "open", "persistent": true}')
        await socket.send(json.dumps({"type": "publish", "ref": 1, "data": SECRET}))
        await said(socket, "ack")
        wrong = {"filters": [{"field": "data.x", "operator": SECRET, "value": 1}]}
        await socket.send(json.dumps({"type": "search", "ref": 2, "query": wrong}))
        await said(socket, "error")
    first, other = (await asyncio.to_thread(collector.spans, "query", 3))[-2:]
    assert (first.trace_id, first.parent) == (trace, PARENT)
    assert other.trace_id != trace
    assert other.parent == ""
    (publish,) = await asyncio.to_thread(collector.spans, "legacy publish")
    assert (publish.parent, publish.facts) == ("", {"widgetwire.channel": "p/w"})
    (search,) = await asyncio.to_thread(collector.spans, "legacy search")
    assert search.failed
    assert search.facts["error.type"] == "BAD_USER_INPUT"
    assert search.events == 0, "an exception's text quotes what came"
    assert SECRET.encode() not in b"".join(collector.raw)
