"""Bans in the table: one row a person and project, the newest ban of them.

A ban that was lifted, or whose time is over, stays for a day as a mark with a version, so that
every process that follows the versions forgets it too.
"""

from collections.abc import Sequence
from typing import Final

import asyncpg

from app.domain.ban import Ban, BanMode, Identity, IdentityKind
from app.storage.database import Database
from app.storage.rules import NEXT_VERSION

__all__ = ["BanRecord", "BanStore"]

_MARK_MS: Final = 24 * 60 * 60 * 1000
"""How long a mark stays: no process is without the database for a day and serves on."""
_TIDIED: Final = 500
"""Rows that are marked, and marks that are deleted, with each new ban: more than it adds."""

# What is tidied up is never the row that is written: one statement changes a row once.
_PLACE: Final = f"""
    WITH next AS ({NEXT_VERSION}), marked AS (
        UPDATE bans SET gone_at = $8, version = next.version FROM next
        WHERE (project_id, kind, name) IN (
            SELECT project_id, kind, name FROM bans
            WHERE gone_at IS NULL AND until <= $8 AND (project_id, kind, name) <> ($1, $2, $3)
            ORDER BY until LIMIT {_TIDIED}
        )
    ), deleted AS (
        DELETE FROM bans WHERE (project_id, kind, name) IN (
            SELECT project_id, kind, name FROM bans
            WHERE gone_at <= $8 - {_MARK_MS}::bigint AND (project_id, kind, name) <> ($1, $2, $3)
            ORDER BY gone_at LIMIT {_TIDIED}
        )
    )
    INSERT INTO bans (project_id, kind, name, id, mode, until, reason, gone_at, version)
    SELECT $1, $2, $3, $4::uuid, $5, $6, $7, NULL, next.version FROM next
    WHERE $9 > (
        SELECT count(*) FROM bans
        WHERE project_id = $1 AND gone_at IS NULL AND (until IS NULL OR until > $8)
            AND (kind, name) <> ($2, $3)
    )
    ON CONFLICT (project_id, kind, name) DO UPDATE
    SET id = excluded.id, mode = excluded.mode, until = excluded.until, reason = excluded.reason,
        gone_at = NULL, version = excluded.version
    RETURNING version
"""  # noqa: S608  constants of this package
_LIFT: Final = f"""
    WITH next AS ({NEXT_VERSION})
    UPDATE bans SET gone_at = $3, version = next.version FROM next
    WHERE project_id = $1 AND id = $2::uuid AND gone_at IS NULL AND (until IS NULL OR until > $3)
    RETURNING project_id, kind, name, id::text AS id, mode, until, reason, gone_at, bans.version
"""  # noqa: S608
_SELECT: Final = """
    SELECT project_id, kind, name, id::text AS id, mode, until, reason, gone_at, version FROM bans
"""
_ABOVE: Final = f"{_SELECT} WHERE version > $1"
_OF_PROJECT: Final = f"""
    {_SELECT} WHERE project_id = $1 AND gone_at IS NULL AND (until IS NULL OR until > $2)
    ORDER BY version DESC
"""


class BanRecord:
    """A row: the ban, whether it is gone, and the version of the change."""

    __slots__ = ("ban", "gone", "version")

    def __init__(self, row: asyncpg.Record) -> None:
        identity = Identity(IdentityKind(row["kind"]), row["name"])
        mode = BanMode(row["mode"])
        self.ban = Ban(row["id"], row["project_id"], identity, mode, row["until"], row["reason"])
        self.gone: bool = row["gone_at"] is not None
        self.version: int = row["version"]


class BanStore:
    """Reads and writes bans."""

    def __init__(self, database: Database) -> None:
        """Take the database."""
        self._database = database

    async def place(self, ban: Ban, now_ms: int, most: int) -> int | None:
        """Store a ban in the place of an earlier one of the same person in the project.

        Args:
            ban: in force.
            now_ms: the present; bans that are over do not count.
            most: how many bans a project may have.

        Returns:
            The version of the change; None: the project has the most already.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(
            _PLACE,
            ban.project_id,
            ban.identity.kind.value,
            ban.identity.name,
            ban.id,
            ban.mode.value,
            ban.until,
            ban.reason,
            now_ms,
            most,
        )
        return int(rows[0]["version"]) if rows else None

    async def lift(self, project_id: str, ban_id: str, now_ms: int) -> BanRecord | None:
        """End a ban before its time; None: the project has none with this id in force.

        Args:
            project_id: whose.
            ban_id: a UUID.
            now_ms: the present.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(_LIFT, project_id, ban_id, now_ms)
        return BanRecord(rows[0]) if rows else None

    async def above(self, version: int) -> Sequence[BanRecord]:
        """Return what has changed since a version, marks of what is gone included.

        Raises:
            Unavailable: the database is away.
        """
        return [BanRecord(row) for row in await self._database.fetch(_ABOVE, version)]

    async def of_project(self, project_id: str, now_ms: int) -> Sequence[Ban]:
        """Return a project's bans in force, the newest first.

        Raises:
            Unavailable: the database is away.
        """
        rows = await self._database.fetch(_OF_PROJECT, project_id, now_ms)
        return [BanRecord(row).ban for row in rows]
