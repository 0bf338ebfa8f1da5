"""How long a batch of a deletion takes, what publishing feels of it, what many channels cost.

    python -m benchmarks.deletion

Everything is in this process but Postgres: the batches, and one client that publishes to the very
channel, a message every 2 ms.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median, quantiles
from typing import Any, Final

from uuid_utils import uuid7

from app.domain.channel import Channel
from app.domain.message import Draft
from app.storage.ages import Ages
from app.storage.channels import ChannelStore
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.migrations import migrate
from app.storage.writer import MessageWriter
from benchmarks.report import options, show, steps
from benchmarks.servers import postgres

_CHANNEL: Final = Channel("deletion", "widget")
_CHANNELS: Final = 100_000
_SIZES: Final = (("200 B", 200, 200_000), ("16 KiB", 16_384, 4_000), ("64 KiB", 65_536, 2_000))
"""Of messages: what they are called, their bytes, and how many are deleted."""
_COLUMNS: Final = (
    "messages", "deleted/s", "in a batch",
    "publish alone p50 ms", "p99 ms", "publish beside p50 ms", "p99 ms",
)  # fmt: skip

# Text that does not compress: the large ones are moved out of their rows.
_FILL: Final = """
    INSERT INTO messages (channel, sequence, id, client_id, created, username, data)
    SELECT $1, n, gen_random_uuid(), 'client', n, 'user' || n % 500, to_jsonb((
        SELECT string_agg(md5(random()::text || n || part), '')
        FROM generate_series(1, greatest(1, $3::int / 32)) AS part
    ))
    FROM generate_series(1, $2::bigint) AS n
"""
_COUNT: Final = """
    INSERT INTO channels (channel, head, last_created) VALUES ($1, $2, $2)
    ON CONFLICT (channel) DO UPDATE SET head = channels.head + excluded.head
"""
_MANY: Final = """
    INSERT INTO channels (channel, head, last_created)
    SELECT 'many/' || n, 1, n FROM generate_series(1, $1::int) AS n
"""


async def _measured(run: Callable[[], Awaitable[object]], rounds: int) -> float:
    """Return the median of some runs, in milliseconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        await run()
        took.append(1000 * (time.perf_counter() - began))
    return median(took)


async def _publish(writer: MessageWriter, took: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await writer.write(Draft(_CHANNEL, str(uuid7()), "client", None, b'{"score":1}'))
        took.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0.002)


async def _deleting(database: Database, name: str, size: int, number: int) -> list[Any]:
    await database.fetch("DELETE FROM messages")
    await database.fetch("DELETE FROM channels")
    await database.fetch(_FILL, _CHANNEL.key, number, size)
    await database.fetch(_COUNT, _CHANNEL.key, number)
    await database.fetch("VACUUM ANALYZE messages")
    writer = MessageWriter(database, lambda _entries: None)
    alone: list[float] = []
    beside: list[float] = []
    publishing = asyncio.create_task(_publish(writer, alone))
    await asyncio.sleep(1.0)
    publishing.cancel()
    publishing = asyncio.create_task(_publish(writer, beside))
    deletion = MessageDeletion(database)
    batches = 0
    began = time.perf_counter()
    async for _deleted in deletion.batches(_CHANNEL, deletion.up_to(_CHANNEL, number)):
        batches += 1
    seconds = time.perf_counter() - began
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    await writer.close()
    latencies = [_latencies(took) for took in (alone, beside)]
    name = f"{number:,} of {name}"
    return [name, number / seconds, number / batches, *latencies[0], *latencies[1]]


def _latencies(took: list[float]) -> tuple[float, float]:
    return median(took), quantiles(took, n=100)[98]


async def _many(database: Database, channels: int, rounds: int) -> list[Any]:
    await database.fetch("DELETE FROM channels")
    await database.fetch(_MANY, channels)
    await database.fetch("VACUUM ANALYZE channels")
    store, ages = ChannelStore(database), Ages(database)

    async def walk() -> None:
        after = ""
        while page := await ages.page(after, 500):
            after = page[-1].channel.key

    listed = await _measured(lambda: store.most_recent("many", 50, None), rounds)
    return [f"{channels:,} channels", listed, 1000 * await _measured(walk, 1) / channels]


async def main() -> None:
    """Measure and show."""
    chosen = options(__doc__ or "")
    factor = 20 if chosen.small else 1
    rows = []
    with postgres() as url, steps(len(_SIZES) + 1, "deleting") as bar:
        await migrate(url)
        database = await Database.connect(url, statement_timeout_seconds=300)
        for name, size, number in _SIZES:
            rows.append(await _deleting(database, name, size, number // factor))
            bar.done()
        many = await _many(database, _CHANNELS // factor, chosen.rounds)
        bar.done()
        await database.close()
    show("Deleting, and publishing beside it", _COLUMNS, rows, chosen.json)
    show("Many channels", ("", "first 50 listed ms", "all ages µs each"), [many], None)


if __name__ == "__main__":
    asyncio.run(main())
