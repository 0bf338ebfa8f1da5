"""What tests of indexes share: a database that has some, and prefers them to anything else."""

import asyncio
from collections.abc import Iterator

import pytest

from app.domain.query import FieldPath
from app.storage.database import Database
from app.storage.indexes.builder import building
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.definitions import IndexDefinition
from app.storage.search import MessageSearch
from tests.storage.stored import Stored

PATHS = [["a"], ["b"], ["a", "b"], ["b", "c", "a"]]
"""Each item an index: of these paths, of one segment each."""


class Indexed(Stored):
    """A channel that is searched with indexes."""

    def __init__(self, runner: asyncio.Runner, database: Database, indexes: SearchIndexes) -> None:
        super().__init__(runner, database)
        self.indexes = indexes
        self.search = MessageSearch(database, indexes=indexes)


def index_on(*paths: str) -> IndexDefinition:
    """Return the index on paths below `data`, each given with dots."""
    return IndexDefinition.on(FieldPath("data", tuple(path.split("."))) for path in paths)


@pytest.fixture
def indexed(database_url: str) -> Iterator[Indexed]:
    """An empty channel in this test's own database, with an index for each of `PATHS`."""
    with asyncio.Runner() as runner:
        database = runner.run(
            Database.connect(
                database_url,
                pool_size=1,
                # A table of a few rows is read from end to end otherwise.
                server_settings={"enable_seqscan": "off", "enable_sort": "off"},
            )
        )
        indexes = SearchIndexes()
        runner.run(_build(database_url, indexes))
        yield Indexed(runner, database, indexes)
        runner.run(database.close())


async def _build(url: str, indexes: SearchIndexes) -> None:
    async with building(url) as builder:
        assert builder is not None
        for paths in PATHS:
            await builder.build(index_on(*paths))
        known = await builder.read()
    indexes.refresh(known.ready, strings_in_order=known.strings_in_order)
