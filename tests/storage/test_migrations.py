"""The revisions: up from nothing, equal to the tables, safe to run twice at once."""

import asyncio

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from app.errors import ConfigurationError
from app.storage.migrations import (
    check_schema,
    current_revision,
    engine_of,
    migrate,
    newest_revision,
    tables,
)

pytestmark = pytest.mark.anyio


async def test_migrating_from_nothing_reaches_the_newest_revision(empty_database_url: str) -> None:
    assert await current_revision(empty_database_url) is None
    await migrate(empty_database_url)
    assert await current_revision(empty_database_url) == newest_revision()
    await check_schema(empty_database_url)


async def test_migrating_again_changes_nothing(database_url: str) -> None:
    await migrate(database_url)
    assert await current_revision(database_url) == newest_revision()


async def test_the_revisions_add_up_to_the_tables(database_url: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, tables()))

    engine = engine_of(database_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
    await engine.dispose()


async def test_every_text_column_is_ordered_by_code_point(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'text'"
        )
    finally:
        await connection.close()
    assert rows
    assert {row["collation_name"] for row in rows} == {"C"}


async def test_several_processes_may_migrate_at_once(empty_database_url: str) -> None:
    await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert await current_revision(empty_database_url) == newest_revision()


async def test_a_database_without_our_schema_is_refused_with_the_command_to_run(
    empty_database_url: str,
) -> None:
    with pytest.raises(ConfigurationError, match=r"at revision none, .* run `widgetwire migrate`"):
        await check_schema(empty_database_url)


async def test_an_older_schema_is_refused_with_the_command_to_run(database_url: str) -> None:
    await _set_revision(database_url, "0001")
    with pytest.raises(ConfigurationError, match=r"at revision 0001, .* run `widgetwire migrate`"):
        await check_schema(database_url)


async def test_a_newer_schema_is_refused_and_not_touched(database_url: str) -> None:
    await _set_revision(database_url, "9999")
    for refused in (check_schema, migrate):
        with pytest.raises(ConfigurationError, match="9999, which this version does not know"):
            await refused(database_url)
    assert await current_revision(database_url) == "9999"


async def test_a_database_that_is_not_utf8_is_refused(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("DROP DATABASE IF EXISTS latin")
        await connection.execute(
            "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 "
            "LOCALE_PROVIDER libc LOCALE 'C'"
        )
        latin = empty_database_url.replace(_name_of(empty_database_url), "latin")
        with pytest.raises(ConfigurationError, match="encoding is LATIN1; UTF8 is needed"):
            await migrate(latin)
        await connection.execute("DROP DATABASE latin WITH (FORCE)")
    finally:
        await connection.close()


async def test_a_user_without_rights_is_told_so(empty_database_url: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("CREATE ROLE reader LOGIN")
        reader = empty_database_url.replace("//postgres@", "//reader@")
        with pytest.raises(ConfigurationError, match="may not change the schema"):
            await migrate(reader)
        await connection.execute("DROP ROLE reader")
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (
            "postgresql://u:secret@127.0.0.1:1/shop",
            r"cannot reach the database at 127\.0\.0\.1:1/shop",
        ),
        ("postgresql://u:secret@[::1/shop", "cannot reach the database at the given address"),
    ],
)
async def test_a_database_that_is_not_there_is_named_without_its_password(
    url: str, text: str
) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        await check_schema(url)
    assert "secret" not in str(caught.value)


def _name_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


async def _set_revision(url: str, revision: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("UPDATE alembic_version SET version_num = $1", revision)
    finally:
        await connection.close()
