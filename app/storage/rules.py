"""The version of the rules: one row that every change of a rule takes the next number from.

The row stays locked until the change is committed, so versions are in the order of the commits:
whoever reads version n sees every change up to n.
"""

from typing import Final

from app.storage.database import Database

__all__ = ["NEXT_VERSION", "RulesVersion"]

NEXT_VERSION: Final = """
    INSERT INTO rules (id, version) VALUES (1, 1)
    ON CONFLICT (id) DO UPDATE SET version = rules.version + 1
    RETURNING version
"""
"""Locks the row and returns the next version: the first part of a statement that changes a rule,
`WITH next AS (NEXT_VERSION) …`. All take this lock before any other."""

_READ: Final = "SELECT version FROM rules WHERE id = 1"


class RulesVersion:
    """Reads the version."""

    def __init__(self, database: Database) -> None:
        """Take the database to read from."""
        self._database = database

    async def read(self) -> int:
        """Return the newest version; 0: no rule was ever set.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(_READ)
        return int(rows[0]["version"]) if rows else 0
