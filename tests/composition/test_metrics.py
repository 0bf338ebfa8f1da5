"""What `/metrics` says of a service that is used: each value follows what was done."""

import json
import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from app.composition.metrics import METRICS
from app.composition.services import started
from app.config import Settings
from app.domain.channel import Channel
from app.domain.message import OnRepeat
from app.domain.viewer import Permission, Viewer
from app.errors import Rejected
from app.telemetry.counters import COUNTED
from tests.hosted import hosted

pytestmark = pytest.mark.anyio

MONITORING: Final = Path(__file__).parents[2] / "docs" / "MONITORING.md"
UNITS: Final = ("_seconds", "_bytes", "_total", "_info")
COUNTS: Final = re.compile(
    r"widgetwire_(build_info|bus_lag_seconds|channels|connections|database_\w+|groups|presence_"
    r"connections|process_(open|max)_fds|queue_items|results_kept|searches_(running|waiting)|"
    r"subscriptions|workers)"
)
"""Gauges of things, whose unit is the thing."""

PUBLISH: Final = """
    mutation ($data: JSON!, $persistent: Boolean!) {
      publish(projectId: "p", widgetId: "w", data: $data, persistent: $persistent) { id }
    }
"""


class Scrape:
    """The samples of one answer; what is asked for and not there is 0."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        key = f"widgetwire_{name}", frozenset({"worker": "1", **labels}.items())
        return self._values.get(key, 0.0)


async def scraped(host: str) -> Scrape:
    async with httpx.AsyncClient(base_url=f"http://{host}") as client:
        return Scrape((await client.get("/metrics")).text)


async def posted(client: httpx.AsyncClient, query: str, **variables: Any) -> Mapping[str, Any]:
    answer = await client.post("/graphql", json={"query": query, "variables": variables})
    found: Mapping[str, Any] = answer.json()
    return found


async def test_each_value_follows_what_was_done(database_url: str) -> None:
    async with (
        hosted(database_url) as host,
        httpx.AsyncClient(base_url=f"http://{host}") as client,
    ):
        before = await scraped(host)
        protocols = [websockets.Subprotocol("graphql-transport-ws")]
        socket = await websockets.connect(f"ws://{host}/graphql", subprotocols=protocols)
        await socket.send('{"type":"connection_init"}')
        await socket.recv()
        subscribe = 'subscription { messages(projectId: "p", widgetId: "w") { id } }'
        frame = {"type": "subscribe", "id": "1", "payload": {"query": subscribe}}
        await socket.send(json.dumps(frame))
        legacy = await websockets.connect(f"ws://{host}/c8/p/w")
        await legacy.send('{"type":"open"}')
        for _ in range(2):  # its answer, and the count
            await legacy.recv()
        for persistent in (True, True, False):
            assert "errors" not in await posted(client, PUBLISH, data=1, persistent=persistent)
            for one in (socket, legacy):
                await one.recv()
        search = '{ messages(projectId: "p", widgetId: "w", query: {limit: 1}) { totalCount } }'
        await posted(client, search)
        await posted(client, "{ nothing }")
        await client.get("/metrics", headers={"origin": "https://elsewhere.example"})
        during = await scraped(host)
        await socket.close(1000)
        await legacy.close(4321)
        after = await scraped(host)

    def grew(name: str, **labels: str) -> float:
        return during(name, **labels) - before(name, **labels)

    for kind in ("graphql-transport-ws", "legacy"):
        assert grew("connections", kind=kind) == 1
        assert grew("connections_opened_total", kind=kind) == 1
        assert after("connections", kind=kind) == before("connections", kind=kind)
    assert during("connections", kind="http") >= 2
    assert grew("messages_published_total", stored="true") == 2
    assert grew("messages_published_total", stored="false") == 1
    assert grew("publish_seconds_count", stored="true") == 2
    assert grew("publish_seconds_count", stored="false") == 1
    assert 1 <= grew("commits_total", writer="publish") <= 2
    assert grew("delivery_seconds_count", origin="here") == 3
    assert grew("delivery_seconds_count", origin="elsewhere") == 0
    assert grew("subscriptions", kind="messages") == 1
    assert grew("subscriptions", kind="channelEvents") == 1
    assert grew("subscriptions", kind="connectionCount") == 1
    assert after("subscriptions", kind="messages") == before("subscriptions", kind="messages")
    assert grew("deliveries_total", kind="messages") == 3
    assert grew("deliveries_total", kind="channelEvents") == 3
    assert (during("groups"), during("channels")) == (2, 1)
    assert during("presence_connections") == 2
    assert grew("frames_received_total") == 3
    assert grew("frames_sent_total") >= 9
    assert grew("sent_bytes_total") > 300
    assert grew("errors_total", code="GRAPHQL_VALIDATION_FAILED") == 1
    assert grew("refusals_total", reason="origin") == 1
    assert grew("search_seconds_count", lane="quick") >= 1
    assert during("database_pool_size", pool="read") == 4
    assert during("database_connections", pool="publish") == 1
    assert after("socket_closes_total", by="client", code="1000") == 1 + before(
        "socket_closes_total", by="client", code="1000"
    )
    assert after("socket_closes_total", by="client", code="other") == 1 + before(
        "socket_closes_total", by="client", code="other"
    )
    assert during("workers") == 1
    assert set(after.families) == {metric.name.removesuffix("_total") for metric in METRICS}


async def test_streams_and_live_results_are_counted_while_they_last(database_url: str) -> None:
    live = 'subscription { liveMessages(projectId: "p", widgetId: "w") { totalCount } }'
    async with (
        hosted(database_url) as host,
        httpx.AsyncClient(base_url=f"http://{host}") as client,
    ):
        before = await scraped(host)
        accept = {"accept": "text/event-stream"}
        async with client.stream("GET", "/graphql", params={"query": live}, headers=accept) as one:
            lines = one.aiter_lines()
            while not (await anext(lines)).startswith("data:"):
                pass
            during = await scraped(host)
        while (after := await scraped(host))("connections", kind="sse") > 0:
            pass
    assert during("connections", kind="sse") - before("connections", kind="sse") == 1
    assert during("subscriptions", kind="liveMessages") == 1
    assert during("results_kept") == 1
    assert during("result_bytes") > 0
    assert during("result_reads_total") - before("result_reads_total") == 1
    assert after("subscriptions", kind="liveMessages") == 0
    assert after("results_kept") == 0


async def test_what_a_policy_refuses_and_what_is_retracted_is_counted(database_url: str) -> None:
    settings = Settings(database_url=database_url, broadcast_url="memory://")
    channel, ann = Channel("p", "w"), Viewer("Ann", frozenset(Permission), subject="ann")
    refused = COUNTED.refusals["policy"]
    async with AsyncExitStack() as stack:
        below = await started(stack, settings)
        messages = below.services.messages
        await below.services.policies.set(ann, channel, {"blockedWords": ["bad"]})
        with pytest.raises(Rejected):
            await messages.publish(ann, channel, "bad")
        assert COUNTED.refusals["policy"] == refused + 1
        for vote in ("A", "B"):
            last = await messages.publish(
                ann, channel, vote, idempotency_key="vote", on_repeat=OnRepeat.REPLACE
            )
        assert (below.hub.published, below.hub.retracted) == (2, 1)
        await messages.retract(ann, channel, [last.id])
        assert (below.hub.published, below.hub.retracted) == (2, 2)


async def test_an_error_is_counted_by_its_code(database_url: str) -> None:
    async with hosted(database_url) as host, httpx.AsyncClient(base_url=f"http://{host}") as client:
        before = await scraped(host)
        await posted(client, PUBLISH, data="x" * 70_000, persistent=True)
        after = await scraped(host)
    for code, more in (("PAYLOAD_TOO_LARGE", 1), ("INTERNAL_SERVER_ERROR", 0)):
        assert after("errors_total", code=code) == before("errors_total", code=code) + more


def test_names_are_prometheus_names() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert re.fullmatch(r"widgetwire_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.name.endswith("_seconds") or metric.kind != "histogram"
        assert metric.name.endswith(UNITS) or COUNTS.fullmatch(metric.name), metric.name
        assert metric.meaning.endswith(".")
        assert "worker" not in metric.labels


def test_the_document_has_the_most_useful_ones_as_they_are() -> None:
    rows = re.findall(
        r"^\| `(widgetwire_\w+)` \| (?:(.+?) )?\| (.*?) \|$",
        MONITORING.read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    known = [
        (
            metric.name,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning,
        )
        for metric in METRICS
    ]
    assert rows
    assert rows == [row for row in known if row in rows]
