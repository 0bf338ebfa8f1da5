"""What tests of storage share."""

import asyncio
from collections.abc import Iterator

import pytest

from app.storage.database import Database
from tests.storage.stored import Stored


@pytest.fixture
def stored(database_url: str) -> Iterator[Stored]:
    """An empty channel in this test's own database."""
    with asyncio.Runner() as runner:
        database = runner.run(Database.connect(database_url, pool_size=1))
        yield Stored(runner, database)
        runner.run(database.close())
