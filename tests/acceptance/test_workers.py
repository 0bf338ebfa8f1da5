"""`widgetwire serve --workers 2`: one address, two processes, one service."""

import re
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx
import psutil
import pytest

from tests.acceptance.graphql_socket import GraphQLSocket
from tests.acceptance.widget import Widget
from tests.served import Served

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("counted_processes")]


def holders(served: Served) -> dict[int, int]:
    """Return how many connections each worker of a service holds."""
    port = int(served.url.rpartition(":")[2])
    held = {}
    for child in psutil.Process(served.process.pid).children(recursive=True):
        connections = [
            one
            for one in child.net_connections("tcp")
            if one.status == psutil.CONN_ESTABLISHED and one.laddr.port == port
        ]
        if connections:
            held[child.pid] = len(connections)
    return held


async def test_both_workers_serve_and_their_clients_do_not_notice(
    serve: Callable[..., Served],
) -> None:
    widget = Widget.new()
    served = serve("--workers", "2")
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(GraphQLSocket(served)) for _ in range(40)]
        assert len(holders(served)) == 2
        watching = await widget.watch(sockets[0])
        heard = [await widget.subscribe(socket) for socket in sockets]
        await watching.until({"count": 40})
        published = [await widget.publish(socket, 1) for socket in sockets]
        expected = [message["id"] for message in published]
        for subscription in heard:
            assert [m["id"] for m in await subscription.take(40)] == expected


async def test_a_killed_worker_is_replaced_and_counted_no_more(
    serve: Callable[..., Served],
) -> None:
    widget = Widget.new()
    # That it takes 10 s at the most with the defaults is for test_connection_count.py to see.
    lease = {"HEARTBEAT": "0.5", "LEASE": "1.5"}
    settings = {f"WIDGETWIRE_PRESENCE_{name}_SECONDS": value for name, value in lease.items()}
    served = serve("--workers", "2", **settings)
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(GraphQLSocket(served)) for _ in range(20)]
        for socket in sockets:
            await widget.subscribe(socket)
        held = holders(served)
        scraper = await stack.enter_async_context(httpx.AsyncClient(base_url=served.url))
        before = await scraped(scraper)
        assert before.keys() == {"1", "2"}, "whichever is asked answers for both"
        assert sum(before.values()) == 20
        victim = next(pid for pid, count in holders(served).items() if count == held[pid])
        lost = held[victim]
        psutil.Process(victim).kill()
        (alive,) = (await scraped(scraper)).keys()
        assert before[alive] == 20 - lost
        # Whichever worker this reaches, and the new one too.
        async with GraphQLSocket(served) as watcher:
            await (await widget.watch(watcher)).until({"count": 20 - lost})
            published = await widget.publish(watcher, "after the crash")
            assert [message["id"] for message in await widget.stored(watcher)] == [published["id"]]
        served.wait_for_output(r"a worker ended(?s:.*)this process serves", 30)
        after = await scraped(scraper)
        (reborn,) = after.keys() - {alive}
        assert after[alive] >= before[alive]
        assert after[reborn] <= 1, "its counters begin again"


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    """Return how many GraphQL sockets each worker has taken, from one answer of one of them."""
    text = (await client.get("/metrics")).text
    opened = "widgetwire_connections_opened_total"
    found = re.findall(
        rf'^{opened}{{kind="graphql-transport-ws",worker="(\d)"}} (\S+)$', text, re.MULTILINE
    )
    return {worker: float(count) for worker, count in found}
