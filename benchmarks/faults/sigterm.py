"""The server is told to end while a thousand sockets are open and publishes are under way."""

import asyncio

import uvloop

from benchmarks.faults.client import Address
from benchmarks.faults.load import FLAT_OUT, Load
from benchmarks.faults.scene import Crowd, Outcome, Scale, conclude, until
from benchmarks.servers import Server, another, serve

__all__ = ["sigterm"]

_WIDGET = "sigterm"
_UNDER_WAY = 20
_END_SECONDS = 10.0
"""Guarantee 7: exit 0 within 10 s."""


def sigterm(url: str, scale: Scale) -> Outcome:
    """End a server under load, start another in its place, and let everybody go on there."""
    with serve("widgetwire", url, settings=dict(scale.settings)) as server:
        return uvloop.run(_sigterm(url, server, scale))


async def _sigterm(url: str, server: Server, scale: Scale) -> Outcome:
    loop = asyncio.get_running_loop()
    address = Address(server.port)
    load = Load(address, _WIDGET)
    crowd = Crowd(address, _WIDGET, scale.subscribers, scale.retry)
    await crowd.join()
    await load.exactly(1)
    await until(lambda: crowd.heard(1), 30)
    load.start(scale.per_second)
    await asyncio.sleep(scale.outage_seconds / 5)
    # So that many are under way, once what waits for its time at the old rate has had it.
    load.rate(FLAT_OUT)
    await asyncio.sleep(load.publishers / scale.per_second)
    await until(lambda: len(load.under_way) > _UNDER_WAY, 5)
    load.dropped.clear()
    under_way = set(load.under_way)
    acked_before = len(load.acked)
    server.process.terminate()
    asked = loop.time()
    load.rate(scale.per_second)
    code = await asyncio.to_thread(server.process.wait, 30)
    ended = loop.time() - asked
    await until(lambda: crowd.live == 0, 10)
    closed = crowd.closed()
    unanswered = under_way & load.dropped
    answered = under_way & load.acked.keys()
    acked_after = len(load.acked) - acked_before
    successor = await asyncio.to_thread(another, url)
    try:
        address.port = successor.port
        await until(lambda: crowd.live == len(crowd.members), 60)
        verdict = await conclude(url, _WIDGET, load, [crowd])
    finally:
        await asyncio.to_thread(successor.stop)
    rows: list[tuple[str, object]] = [
        ("sockets that listened", len(crowd.members)),
        ("seconds to the exit", ended),
        ("exit code", code),
        *((f"closed with {number}", count) for number, count in sorted(closed.items())),
        ("mutations under way at the signal", len(under_way)),
        ("of them answered", len(answered)),
        ("of them unanswered, sent again", len(unanswered)),
        ("acknowledged after the signal", acked_after),
        ("publishes acknowledged", len(load.acked)),
    ]
    kept = code == 0 and ended < _END_SECONDS and set(closed) == {1012}
    return Outcome(rows, verdict, kept)
