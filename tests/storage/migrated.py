"""A database brought to a revision that is not the newest."""

from typing import Any

from sqlalchemy import Connection

from app.storage import migrations
from app.storage.migrations import engine_of

__all__ = ["alembic"]


async def alembic(url: str, run: Any, revision: str) -> None:
    """Run one of Alembic's commands, `upgrade` or `downgrade`, up or down to a revision."""

    def go(connection: Connection) -> None:
        config = migrations._config()
        config.attributes["connection"] = connection
        run(config, revision)

    engine = engine_of(url)
    async with engine.connect() as connection:
        await connection.run_sync(go)
        await connection.commit()
    await engine.dispose()
