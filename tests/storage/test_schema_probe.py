"""A schema that went missing, or back, under a service that runs."""

import pytest

from app.storage.database import Database
from app.storage.migrations import newest_revision
from app.storage.schema_probe import NEEDED_REVISION, SchemaProbe

pytestmark = pytest.mark.anyio


def test_what_is_needed_is_what_the_migrations_make() -> None:
    assert newest_revision() == NEEDED_REVISION


async def test_a_schema_that_is_older_or_gone_is_named_and_a_newer_one_is_well(
    database: Database,
) -> None:
    probe = SchemaProbe(database)
    assert await probe.state() is None
    await database.fetch("UPDATE alembic_version SET version_num = '0999'")
    assert await probe.state() is None
    await database.fetch("UPDATE alembic_version SET version_num = '0003'")
    advice = "check WIDGETWIRE_DATABASE_URL, or run `widgetwire migrate`"
    assert await probe.state() == (
        f"the database's schema is at revision 0003, this version needs {NEEDED_REVISION}: {advice}"
    )
    gone = f"the database has no schema of this service: {advice}"
    await database.fetch("DELETE FROM alembic_version")
    assert await probe.state() == gone
    await database.fetch("DROP TABLE alembic_version")
    assert await probe.state() == gone


async def test_a_database_that_is_away_has_no_known_schema(database: Database) -> None:
    await database.close()
    assert await SchemaProbe(database).state() == "not known while the database does not answer"
