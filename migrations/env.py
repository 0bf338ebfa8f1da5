"""Alembic's environment: runs the revisions on the connection that it is given.

`widgetwire migrate` and the tests come through `app.storage.migrations`, which hands a
connection over. Alembic's own command line (to write a new revision, say) names a database:
`alembic -x url=postgresql://… revision --autogenerate -m "…"`.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection

from app.storage.migrations import engine_of, tables


def run(connection: Connection) -> None:
    """Run the revisions that were asked for, each in a transaction of its own."""
    context.configure(
        connection=connection, target_metadata=tables(), transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_from_command_line() -> None:
    """Connect to the database of `-x url=…` and run there."""
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not isinstance(url, str):
        raise SystemExit("name the database: alembic -x url=postgresql://… COMMAND")
    engine = engine_of(url)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()


given = context.config.attributes.get("connection")
if isinstance(given, Connection):
    run(given)
else:
    asyncio.run(run_from_command_line())
