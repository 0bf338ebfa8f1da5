"""Connections of commands."""

import asyncpg
import pytest

from app.errors import DatabaseUnreachable
from app.process.moving.connecting import connected

pytestmark = pytest.mark.anyio


async def test_it_carries_the_command_s_name_and_no_time_limit(database_url: str) -> None:
    async with connected(database_url, "export") as connection:
        assert await connection.fetchval("SHOW application_name") == "widgetwire export"
        assert await connection.fetchval("SHOW statement_timeout") == "0"


async def test_a_connection_that_is_lost_is_said(database_url: str) -> None:
    async def work() -> None:
        async with connected(database_url, "export") as connection:
            other = await asyncpg.connect(database_url)
            await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
            await other.close()
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnreachable, match="was lost"):
        await work()
