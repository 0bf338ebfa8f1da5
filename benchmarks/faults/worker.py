"""One of two workers is killed under load."""

import asyncio
from typing import Final

import psutil
import uvloop

from benchmarks.faults.client import Address
from benchmarks.faults.count_watch import CountWatch
from benchmarks.faults.load import Load
from benchmarks.faults.scene import Crowd, Outcome, Scale, conclude, until
from benchmarks.machine import pin, worker_core
from benchmarks.servers import Server, serve

__all__ = ["worker"]

_WIDGET: Final = "worker"
_RIGHT_SECONDS: Final = 10.0
"""Guarantee 5: counts are right again within 10 s of the death of a process."""
_STEADY_SECONDS: Final = 1.0
"""A count that was right for so long stays so."""
_WATCHED_SECONDS: Final = 15.0


def worker(url: str, scale: Scale) -> Outcome:
    """Kill a worker; its clients come back as graphql-ws lets them."""
    with serve("widgetwire", url, 2, dict(scale.settings)) as server:
        return uvloop.run(_worker(url, server, scale))


async def _worker(url: str, server: Server, scale: Scale) -> Outcome:
    loop = asyncio.get_running_loop()
    address = Address(server.port)
    load = Load(address, _WIDGET)
    crowd = Crowd(address, _WIDGET, scale.subscribers, scale.retry)
    await crowd.join()
    await load.exactly(1)
    await until(lambda: crowd.heard(1), 30)
    load.start(scale.per_second)
    await asyncio.sleep(scale.outage_seconds / 5)
    before = set(server.processes)
    victim = server.processes[0]
    victim.kill()
    killed = loop.time()
    count = CountWatch(server.port, _WIDGET)
    count.start()
    await until(lambda: bool(_replacement(server, before)), 30)
    replaced = loop.time() - killed
    for process in _replacement(server, before):
        pin(process.pid, worker_core(0))
    await until(lambda: crowd.live < len(crowd.members), 5)
    await until(lambda: crowd.live == len(crowd.members), 60)
    returned = loop.time() - killed
    # The legacy sockets that publish are connections of the channel too.
    owed = len(crowd.members) + load.legacy_sockets
    await until(lambda: count.right_for(owed) > _STEADY_SECONDS, _WATCHED_SECONDS)
    right = count.right_since(owed)
    await asyncio.to_thread(count.stop)
    verdict = await conclude(url, _WIDGET, load, [crowd])
    rows: list[tuple[str, object]] = [
        ("subscribers of two workers", len(crowd.members)),
        ("of them cut off", sum(crowd.closed().values())),
        ("publishes acknowledged", len(load.acked)),
        ("of them sent again, the connection lost", len(load.dropped)),
        ("seconds until another worker was started", replaced),
        ("seconds until all were subscribed again", returned),
        ("seconds until the count was right", "never" if right is None else right),
    ]
    return Outcome(rows, verdict, kept=right is not None and right < _RIGHT_SECONDS)


def _replacement(server: Server, before: set[psutil.Process]) -> set[psutil.Process]:
    return set(psutil.Process(server.process.pid).children()) - before
