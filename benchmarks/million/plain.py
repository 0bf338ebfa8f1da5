"""The rival without a service: a plain table with the obvious indexes, read with asyncpg.

    python -m benchmarks.million.plain URL ROWS CLIENTS SECONDS same|different

prints as JSON how fast so many connections read pages of 50, in one process.
"""

import asyncio
import json
import sys
import time
from itertools import count
from typing import Final

import asyncpg
import uvloop

from benchmarks.load import percentile
from benchmarks.million.data import Shape, picked
from benchmarks.million.databases import Connection

__all__ = ["INDEXES", "TABLE"]

TABLE: Final = """
    CREATE TABLE plain_message (
        channel text NOT NULL,
        sequence bigint NOT NULL,
        id uuid NOT NULL,
        client_id text NOT NULL,
        created bigint NOT NULL,
        username text,
        data jsonb NOT NULL
    )
"""

INDEXES: Final = (
    "ALTER TABLE plain_message ADD PRIMARY KEY (channel, sequence)",
    "CREATE UNIQUE INDEX ON plain_message (channel, id)",
    "CREATE INDEX ON plain_message (channel, created)",
    "CREATE INDEX ON plain_message (channel, client_id, sequence)",
    "CREATE INDEX ON plain_message (channel, (data->>'user'), sequence)",
    "CREATE INDEX ON plain_message (channel, (data->>'room'), sequence)",
    "CREATE INDEX ON plain_message (channel, ((data->>'score')::bigint) DESC, sequence)",
)
_NEWEST: Final = """
    SELECT id, client_id, created, data, username FROM plain_message
    WHERE channel = $1 ORDER BY sequence DESC LIMIT 50
"""
_BEFORE: Final = """
    SELECT id, client_id, created, data, username FROM plain_message
    WHERE channel = $1
        AND sequence < (SELECT sequence FROM plain_message WHERE channel = $1 AND id = $2)
    ORDER BY sequence DESC LIMIT 50
"""


async def _read(url: str, rows: int, clients: int, seconds: float, same: bool) -> dict[str, float]:
    million = Shape(rows).million
    probes = count()
    took: list[float] = []
    connections: list[Connection] = [await asyncpg.connect(url) for _ in range(clients)]

    async def reading(connection: Connection) -> None:
        statement = await connection.prepare(_NEWEST if same else _BEFORE)
        while (began := time.perf_counter()) < end:
            values = [] if same else [million.id(60 + picked(next(probes), rows - 60))]
            await statement.fetch(million.key, *values)
            took.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    end = began + seconds
    await asyncio.gather(*map(reading, connections))
    elapsed, cpu = time.perf_counter() - began, time.process_time() - cpu
    for connection in connections:
        await connection.close()
    return {
        "per_second": len(took) / elapsed,
        "cpu_microseconds": cpu / max(1, len(took)) * 1e6,
        "p50_ms": percentile(took, 0.5) * 1000,
        "p99_ms": percentile(took, 0.99) * 1000,
        "load_busy": 0.0,
    }


def main(url: str, rows: str, clients: str, seconds: str, which: str) -> None:
    """Read pages and print what it took.

    Args:
        url: of the database.
        rows: messages of its largest channel.
        clients: connections, each with one page under way.
        seconds: how long.
        which: `same` or `different` pages.
    """
    found = uvloop.run(_read(url, int(rows), int(clients), float(seconds), which == "same"))
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
