"""The bus goes away under load: Redis is killed and started again."""

import asyncio
from contextlib import ExitStack

import uvloop

from benchmarks.faults.breakable import BreakableRedis
from benchmarks.faults.client import Address
from benchmarks.faults.load import Load
from benchmarks.faults.scene import Crowd, Outcome, Scale, conclude, until
from benchmarks.servers import Server, another, serve

__all__ = ["redis"]

_WIDGET = "redis"


def redis(url: str, program: str, scale: Scale) -> Outcome:
    """Publish at one process, listen at two, and take the Redis between them away."""
    with ExitStack() as stack:
        broker = BreakableRedis(program)
        stack.callback(broker.stop)
        settings = dict(scale.settings) | {"WIDGETWIRE_BROADCAST_URL": broker.url}
        here = stack.enter_context(serve("widgetwire", url, settings=settings))
        there = another(url, settings)
        stack.callback(there.stop)
        return uvloop.run(_redis(url, broker, here, there, scale))


async def _redis(
    url: str, broker: BreakableRedis, here: Server, there: Server, scale: Scale
) -> Outcome:
    loop = asyncio.get_running_loop()
    load = Load(Address(here.port), _WIDGET)
    half = scale.steady // 2
    own = Crowd(Address(here.port), _WIDGET, half, scale.retry)
    others = Crowd(Address(there.port), _WIDGET, half, scale.retry, first=half)
    await own.join()
    await others.join()
    await load.exactly(1)
    await until(lambda: own.heard(1) and others.heard(1), 30)
    for member in others.members:
        member.arrivals = []
    load.start(scale.per_second)
    await asyncio.sleep(scale.outage_seconds / 5)
    await asyncio.to_thread(broker.stop)
    stopped = loop.time()
    await asyncio.sleep(scale.outage_seconds)
    await asyncio.to_thread(broker.start)
    back = loop.time()
    await asyncio.sleep(scale.polled_seconds)
    closed = sum((own.closed() + others.closed()).values())
    verdict = await conclude(url, _WIDGET, load, [own, others])
    waited = _waited(others, load)
    during = [one for at, one in waited if stopped <= at < back]
    later = [one for at, one in waited if at >= back + 5]
    rows: list[tuple[str, object]] = [
        ("subscribers at each of two processes", half),
        ("seconds away", back - stopped),
        ("publishes acknowledged", len(load.acked)),
        ("of them while it was away", len(during) // half),
        ("tries answered with UNAVAILABLE", load.refused),
        ("longest wait at the other process, seconds", max(during, default=0.0)),
        ("the same from 5 s after its return on", max(later, default=0.0)),
        ("subscribers' sockets lost", closed),
    ]
    return Outcome(rows, verdict, kept=not closed)


def _waited(crowd: Crowd, load: Load) -> list[tuple[float, float]]:
    """For each number and member: when it was acknowledged, and how long after it was heard."""
    return [
        (acked, came - acked)
        for member in crowd.members
        for number, came in zip(member.heard, member.arrivals or (), strict=False)
        if (acked := load.acked.get(number)) is not None
    ]
