"""The secret that client ids are signed with, where no setting gives one: kept in the database.

There all processes find the same one, on however many machines, and a copy of the database has it
too. It proves nothing but the client ids of the messages beside it: whoever can read it there can
read and write those as well.
"""

from typing import Final

from app.storage.database import Database

__all__ = ["kept_client_secret"]

_READ: Final = "SELECT secret FROM client_secret"
# Made by the server, of its strong random source: 244 bits in 64 characters. So it is no parameter
# of a statement, which might be logged.
_MAKE: Final = """
    INSERT INTO client_secret (secret)
    VALUES (replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))
    ON CONFLICT DO NOTHING
"""


async def kept_client_secret(database: Database) -> str:
    """Return the database's secret, the same for all who ask at whatever time.

    Raises:
        Unavailable: the database is away.
    """
    rows = await database.fetch(_READ)
    if not rows:
        await database.fetch(_MAKE)
        rows = await database.fetch(_READ)
    secret: str = rows[0]["secret"]
    return secret
