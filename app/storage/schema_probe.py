"""Whether the database has the schema that this version needs: after the start, too.

`serve` refuses to start on another schema. What happens later (an old backup that is restored,
the wrong database behind a proxy) is seen here, before the statements that fail because of it.
"""

from typing import Final

import asyncpg

from app import setting_names
from app.errors import Unavailable
from app.storage.database import Database

__all__ = ["NEEDED_REVISION", "SchemaProbe"]

NEEDED_REVISION: Final = "0012"
"""The newest of `migrations/`. A newer version of the service may have gone further: each leaves
what the one before needs."""

_REVISION: Final = "SELECT version_num FROM alembic_version"
_ADVICE: Final = f"check {setting_names.DATABASE_URL}, or run `widgetwire migrate`"


class SchemaProbe:
    """Asks the database for the revision of its schema.

    Args:
        database: to ask.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def state(self) -> str | None:
        """Return None when the schema is new enough, else what is wrong."""
        try:
            rows = await self._database.fetch(_REVISION)
        except Unavailable:
            return "not known while the database does not answer"
        except asyncpg.UndefinedTableError:
            rows = []
        if not rows:
            return f"the database has no schema of this service: {_ADVICE}"
        revision: str = rows[0]["version_num"]
        if revision < NEEDED_REVISION:
            return (
                f"the database's schema is at revision {revision}, this version needs "
                f"{NEEDED_REVISION}: {_ADVICE}"
            )
        return None
