"""Whether a database orders strings by code point."""

import pytest

from app.storage.database import Database
from app.storage.string_order import orders_by_code_point

pytestmark = pytest.mark.anyio


async def test_the_embedded_database_orders_strings_by_code_point(database: Database) -> None:
    assert await orders_by_code_point(database.fetch)


async def test_a_database_that_orders_one_pair_otherwise_does_not() -> None:
    """The embedded server has no other locale, so a database of a language is played here."""

    async def by_language(_sql: str, lesser: list[str], greater: list[str]) -> list[tuple[bool]]:
        # As dictionaries do: letters first, and what case they have last.
        return [(all(a.lower() < b.lower() for a, b in zip(lesser, greater, strict=True)),)]

    assert not await orders_by_code_point(by_language)
