"""What `widgetwire erase` does: one person's messages are deleted, in all channels."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

import asyncpg

from app.config import Settings, broadcast_scheme
from app.delivery.backends.chosen import chosen_backend
from app.delivery.bus import Bus
from app.delivery.events import Deleted
from app.domain.channel import Channel, checked_project_id
from app.errors import BadUserInput, ConfigurationError, DatabaseUnreachable, Unavailable
from app.storage.database import Database
from app.storage.deletion import MessageDeletion
from app.storage.elected import CONNECTION_FAILURES
from app.storage.erasure import (
    TABLES,
    Traces,
    bans_of,
    forget_held,
    forget_keys,
    messages_of,
    traces_of,
)

__all__ = ["Person", "erased", "found", "kept_bans", "listed"]

_LOOK_SECONDS: Final = 600.0
"""Every channel is looked at: seconds where there are a million."""
_CONNECT_TIMEOUT_SECONDS: Final = 5.0
# INDEX_CLEANUP: else Postgres leaves the entries of a few deleted rows in the indexes. ANALYZE:
# what the planner knows of the table holds values of it.
_CLEAN: Final = "VACUUM (INDEX_CLEANUP ON, ANALYZE) {table}"


class Person:
    """Whom it is about, as the arguments name them.

    Args:
        username: as it stands on the messages.
        project_id: only there; None: in all projects.

    Raises:
        ConfigurationError: nobody can have that name, or no project that id.
    """

    def __init__(self, username: str, project_id: str | None) -> None:
        try:
            username.encode()
        except UnicodeEncodeError:
            raise ConfigurationError(f"--username is {username!r}; expected UTF-8 text") from None
        if not username:
            raise ConfigurationError("--username is empty; expected the username on the messages")
        try:
            self.project_id = None if project_id is None else checked_project_id(project_id)
        except BadUserInput as error:
            raise ConfigurationError(error.message.replace("projectId", "--project")) from None
        self.username = username

    def __str__(self) -> str:
        where = "all projects" if self.project_id is None else f"project {self.project_id}"
        return f"{self.username!r} in {where}"


def listed(traces: Sequence[Traces]) -> str:
    """Return a table of what there is, or was, of a person."""
    rows = [(one.channel.key, str(one.messages)) for one in traces]
    table = [("CHANNEL", "MESSAGES"), *rows]
    width = max(len(channel) for channel, _ in table)
    return "\n".join(f"{channel.ljust(width)}  {messages}" for channel, messages in table)


async def found(url: str, person: Person) -> Sequence[Traces]:
    """Return what there is of a person now.

    Raises:
        DatabaseUnreachable: the database went away.
    """
    async with _database(url) as database:
        return await traces_of(database, person.username, person.project_id)


async def kept_bans(url: str, person: Person) -> int:
    """Return how many bans by the person's name stay: to erase somebody does not let them in.

    Raises:
        DatabaseUnreachable: the database went away.
    """
    async with _database(url) as database:
        return await bans_of(database, person.username, person.project_id)


async def erased(settings: Settings, person: Person) -> Sequence[Traces]:
    """Delete what there is of a person, tell the running servers, and return what it was.

    What was deleted stays deleted where this ends half way; to begin again goes on.

    Args:
        settings: with the database's URL.
        person: who.

    Raises:
        DatabaseUnreachable: the database went away.
    """
    assert settings.database_url is not None
    gone: list[Traces] = []
    scheme = broadcast_scheme(settings.broadcast_url)
    backend = chosen_backend(scheme, settings.broadcast_url, settings.database_url)
    bus = Bus(backend, str(uuid4()))
    await bus.start(lambda _event: None)
    try:
        async with _database(settings.database_url) as database:
            deletion = MessageDeletion(database)
            await forget_keys(database, person.username, person.project_id)
            # First: what is approved meanwhile is found among the messages.
            held = await forget_held(database, person.username, person.project_id)
            traces = await traces_of(database, person.username, person.project_id)
            for one in _with(traces, held):
                find = deletion.finding(one.channel, messages_of(person.username))
                try:
                    messages = sum([batch async for batch in deletion.batches(one.channel, find)])
                finally:
                    # Servers that are not told compare with the table every few seconds.
                    bus.post(one.channel, Deleted(bus.origin, one.channel.key))
                gone.append(Traces(one.channel, messages + held.get(one.channel, 0)))
    finally:
        await bus.stop()
    await _clean(settings.database_url)
    return gone


def _with(traces: Sequence[Traces], held: Mapping[Channel, int]) -> Sequence[Traces]:
    """Return the traces, and those channels that had nothing but held messages."""
    only_held = held.keys() - {one.channel for one in traces}
    return sorted(
        [*traces, *(Traces(channel, 0) for channel in only_held)],
        key=lambda one: one.channel.key,
    )


async def _clean(url: str) -> None:
    """Have the database forget the deleted rows, as far as it does."""
    warnings: list[object] = []
    try:
        connection = await asyncpg.connect(
            url,
            timeout=_CONNECT_TIMEOUT_SECONDS,
            server_settings={"application_name": "widgetwire erase", "statement_timeout": "0"},
        )
        try:
            # To whoever may not, it says so and does nothing.
            connection.add_log_listener(lambda _connection, said: warnings.append(said))
            for table in TABLES:
                await connection.execute(_CLEAN.format(table=table))
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_SECONDS)
    except (*CONNECTION_FAILURES, asyncpg.PostgresError) as error:
        raise DatabaseUnreachable(
            f"the rows are deleted, but the database's files are not cleaned ({error}): run "
            "the command again"
        ) from error
    if warnings:
        raise ConfigurationError(
            f"the rows are deleted, but the database's files are not cleaned ({warnings[0]}): run "
            f"VACUUM (INDEX_CLEANUP ON, ANALYZE) {', '.join(TABLES)} as the owner of the tables"
        )


@asynccontextmanager
async def _database(url: str) -> AsyncIterator[Database]:
    try:
        database = await Database.connect(url, pool_size=1, statement_timeout_seconds=_LOOK_SECONDS)
        try:
            yield database
        finally:
            await database.close()
    except Unavailable as error:
        raise DatabaseUnreachable(
            f"{error.message}; what was erased so far stays erased; run the command again to "
            "erase the rest"
        ) from error
