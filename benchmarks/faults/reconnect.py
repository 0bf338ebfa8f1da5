"""A thousand clients come back in the same instant, each with its cursor."""

import asyncio

import asyncpg
import uvloop

from benchmarks.faults.client import Address
from benchmarks.faults.load import Load
from benchmarks.faults.scene import Crowd, Outcome, Scale, conclude, mib, until
from benchmarks.servers import Server, serve

__all__ = ["reconnect"]

_WIDGET = "reconnect"
_PAGE = 500
"""Messages in one read of a replay."""
_READS = "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%FROM messages%'"


def reconnect(url: str, scale: Scale) -> Outcome:
    """Cut everybody off, publish, let everybody come back at once while publishing goes on."""
    with serve("widgetwire", url, settings=dict(scale.settings)) as server:
        return uvloop.run(_reconnect(url, server, scale))


async def _reconnect(url: str, server: Server, scale: Scale) -> Outcome:
    loop = asyncio.get_running_loop()
    address = Address(server.port)
    load = Load(address, _WIDGET)
    crowd = Crowd(address, _WIDGET, scale.subscribers, lambda _: 0.0)
    await crowd.join()
    await load.exactly(1)
    await until(lambda: crowd.heard(1), 30)
    for member in crowd.members:
        member.returns = False
        member.cut()
    await until(lambda: crowd.live == 0, 10)
    await load.exactly(scale.missed)
    await _forget_reads(url)
    before = most = mib(server)
    began = loop.time()

    def measure() -> None:
        nonlocal most
        most = max(most, mib(server))

    load.start(scale.per_second)
    for member in crowd.members:
        member.returns = True
        member.connect()
    owed = 1 + scale.missed
    await until(lambda: crowd.live == len(crowd.members), 90, measure)
    all_live = loop.time() - began
    await until(lambda: all(len(m.heard) >= owed for m in crowd.members), 90, measure)
    caught_up = loop.time() - began
    published = len(load.acked) - owed
    pages, cursors = await _reads(url)
    verdict = await conclude(url, _WIDGET, load, [crowd])
    rows: list[tuple[str, object]] = [
        ("clients that came back at once", len(crowd.members)),
        ("messages each had missed", scale.missed),
        ("published while they came back", published),
        ("seconds until all were subscribed", all_live),
        ("seconds until all had caught up", caught_up),
        ("replayed/s", scale.missed * len(crowd.members) / caught_up),
        ("reads of pages", pages),
        ("reads of pages, had each client read", len(crowd.members) * -(-scale.missed // _PAGE)),
        ("reads of cursors", cursors),
        ("MiB before", before),
        ("MiB at most", most),
        ("MiB at the end", mib(server)),
    ]
    return Outcome(rows, verdict)


async def _forget_reads(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        await connection.execute("SELECT pg_stat_statements_reset()")
    finally:
        await connection.close()


async def _reads(url: str) -> tuple[int, int]:
    """How often pages of messages were read, and single messages by their id."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(_READS)
    finally:
        await connection.close()
    pages = sum(row["calls"] for row in rows if "sequence > $2" in row["query"])
    cursors = sum(row["calls"] for row in rows if "AND id = $2" in row["query"])
    return pages, cursors
