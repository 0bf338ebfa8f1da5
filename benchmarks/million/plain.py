"""The rival without a service: a plain table with the obvious indexes, asked with asyncpg.

    python -m benchmarks.million.plain URL CLIENTS SECONDS different|same

prints how many pages of the newest 50 so many clients read in that time, on one core.
"""

import asyncio
import json
import sys
import time
from typing import Final

import asyncpg
import uvloop

from benchmarks.million.data import Shape, picked

__all__ = ["INDEXES", "TABLE", "newest"]

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
