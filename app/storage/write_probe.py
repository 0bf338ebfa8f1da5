"""Whether the database takes messages: what a read cannot tell.

A database whose disk is full answers every SELECT. While nothing was refused there is
nothing to ask; after that, each question tries to store a message and takes it back.
"""

from typing import Final

from app.errors import Unavailable
from app.storage.database import Database
from app.storage.incidents import Incidents

__all__ = ["WriteProbe"]

_TRIAL: Final = """
    DO $trial$
    BEGIN
        BEGIN
            INSERT INTO channels (channel, head) VALUES ('', 1);
            INSERT INTO messages (channel, sequence, id, client_id, created, data)
            VALUES ('', 1, gen_random_uuid(), '', 0, to_jsonb(repeat(md5(random()::text), 200)));
            RAISE EXCEPTION USING ERRCODE = 'WWOUT';
        EXCEPTION WHEN SQLSTATE 'WWOUT' THEN
            NULL; -- Both rows were taken, and are gone.
        END;
    END
    $trial$
"""


class WriteProbe:
    """Asks the database to store something, where there is reason for doubt."""

    def __init__(self, database: Database, incidents: Incidents) -> None:
        """Take the parts.

        Args:
            database: for the trial; its pool need not be the one that was refused.
            incidents: where the refusal is noted, and forgotten once a trial succeeds.
        """
        self._database = database
        self._incidents = incidents

    async def state(self) -> str | None:
        """Return None when the database takes messages, else what is wrong."""
        if self._incidents.refusal is None:
            return None
        try:
            await self._database.fetch(_TRIAL)
        except Unavailable:
            return f"cannot store messages: {self._incidents.refusal}"
        self._incidents.refusal = None
        return None
