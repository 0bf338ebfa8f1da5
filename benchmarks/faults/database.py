"""The database goes away without warning under load, and comes back."""

import asyncio

import uvloop

from benchmarks.faults.breakable import BreakablePostgres
from benchmarks.faults.client import Address
from benchmarks.faults.load import Load
from benchmarks.faults.scene import Crowd, Outcome, Scale, conclude, mib, until
from benchmarks.servers import Server, serve

__all__ = ["database"]

_WIDGET = "database"


def database(postgres: BreakablePostgres, scale: Scale) -> Outcome:
    """Stop Postgres as a crash would, and start it again after the outage."""
    with serve("widgetwire", postgres.url, settings=dict(scale.settings)) as server:
        return uvloop.run(_database(postgres, server, scale))


async def _database(postgres: BreakablePostgres, server: Server, scale: Scale) -> Outcome:
    loop = asyncio.get_running_loop()
    address = Address(server.port)
    load = Load(address, _WIDGET)
    crowd = Crowd(address, _WIDGET, scale.steady, scale.retry)
    await crowd.join()
    await load.exactly(1)
    await until(lambda: crowd.heard(1), 30)
    before = most = mib(server)

    def measure() -> None:
        nonlocal most
        most = max(most, mib(server))

    load.start(scale.per_second)
    await until(lambda: False, scale.outage_seconds / 5, measure)
    await asyncio.to_thread(postgres.stop)
    stopped = loop.time()
    await until(lambda: False, scale.outage_seconds, measure)
    starting = loop.time()
    await asyncio.to_thread(postgres.start)
    back = loop.time()
    await until(lambda: max(load.acked.values()) > starting, 30, measure)
    first_ack = min((at for at in load.acked.values() if at > starting), default=float("inf"))
    await until(lambda: False, scale.outage_seconds / 5, measure)
    closed = sum(crowd.closed().values())
    verdict = await conclude(postgres.url, _WIDGET, load, [crowd])
    rows: list[tuple[str, object]] = [
        ("subscribers", len(crowd.members)),
        ("seconds away", starting - stopped),
        ("seconds of its start and recovery", back - starting),
        ("publishes acknowledged", len(load.acked)),
        ("tries answered with UNAVAILABLE", load.refused),
        ("of them sent again, the connection lost", len(load.dropped)),
        ("seconds from its start to the first ack", first_ack - starting),
        ("subscribers' sockets lost", closed),
        ("MiB before", before),
        ("MiB at most", max(most, mib(server))),
    ]
    return Outcome(rows, verdict, kept=not closed)
