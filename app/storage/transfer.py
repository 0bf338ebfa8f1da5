"""Stored messages out to a file and in again, through COPY.

What comes in is stored after what the channel has: sequences stay gapless, `created` never runs
backwards, and what is there already (the same id) is left as it is.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import asyncpg

from app.domain.channel import Channel

__all__ = [
    "FileForm",
    "Imported",
    "IncomingMessage",
    "copy_out",
    "message_count",
    "place_of",
    "store_batch",
]

FileForm: TypeAlias = Literal["jsonl", "csv"]

# "C" collation: all keys of a project stand between "project/" and "project0".
_RANGE: Final = """
    m.channel >= $1::text AND m.channel < $2::text
    AND (m.channel, m.sequence) > ($3::text, $4::bigint)
    ORDER BY m.channel, m.sequence
"""
_COLUMNS: Final = """
    substr(m.channel, $5::integer) AS widget_id, m.id, m.client_id, m.created, m.username, m.data,
    m.idempotency_key, m.publisher
"""
_OUT: Final[Mapping[FileForm, str]] = {
    "jsonl": f"SELECT to_json(r) FROM (SELECT {_COLUMNS} FROM messages AS m WHERE {_RANGE}) AS r",  # noqa: S608
    "csv": f"SELECT {_COLUMNS} FROM messages AS m WHERE {_RANGE}",  # noqa: S608  no value is in the text
}
_COUNT: Final = """
    SELECT coalesce(sum(c.head - c.removed), 0)::bigint FROM channels AS c
    WHERE c.channel >= $1 AND c.channel < $2
"""
_PLACE: Final = """
    SELECT sequence FROM messages WHERE channel = $1 AND id = $2
    UNION ALL SELECT sequence FROM retracted_messages WHERE channel = $1 AND id = $2
"""

_INCOMING: Final = """
    CREATE TEMPORARY TABLE IF NOT EXISTS incoming (
        number bigint, channel text COLLATE "C", id uuid, client_id text, created bigint,
        username text, data jsonb, idempotency_key text, publisher text
    ) ON COMMIT DELETE ROWS
"""
# In the order of the names, as publishing locks them.
_LOCK: Final = """
    INSERT INTO channels AS c (channel)
    SELECT DISTINCT i.channel FROM incoming AS i ORDER BY 1
    ON CONFLICT (channel) DO UPDATE SET head = c.head
    RETURNING c.channel, c.last_created, c.retracted
"""
_KNOWN: Final = """
    SELECT i.number FROM incoming AS i JOIN messages AS m ON m.channel = i.channel AND m.id = i.id
    UNION
    SELECT i.number FROM incoming AS i
    JOIN retracted_messages AS r ON r.channel = i.channel AND r.id = i.id
"""
_TAKEN_KEYS: Final = """
    SELECT i.number FROM incoming AS i
    JOIN messages AS m ON m.channel = i.channel AND m.idempotency_key = i.idempotency_key
        AND coalesce(m.publisher, 'client:' || m.client_id)
            = coalesce(i.publisher, 'client:' || i.client_id)
"""
_LEAVE_OUT: Final = "DELETE FROM incoming WHERE number = ANY($1::bigint[])"
_STORE: Final = """
    WITH placed AS (
        SELECT i.*,
            c.head + row_number() OVER (PARTITION BY i.channel ORDER BY i.number) AS sequence
        FROM incoming AS i JOIN channels AS c USING (channel)
    ), stored AS (
        INSERT INTO messages
            (channel, sequence, id, client_id, created, username, data, idempotency_key, publisher)
        SELECT p.channel, p.sequence, p.id, p.client_id, p.created, p.username, p.data,
            p.idempotency_key, p.publisher
        FROM placed AS p ORDER BY p.channel, p.sequence
    )
    UPDATE channels AS c
    SET head = p.head, last_created = greatest(c.last_created, p.created)
    FROM (
        SELECT channel, max(sequence) AS head, max(created) AS created FROM placed GROUP BY channel
    ) AS p
    WHERE c.channel = p.channel
"""

IncomingMessage: TypeAlias = tuple[int, str, str, str, int, str | None, str, str | None, str | None]
"""The number of its line, then as the columns: channel, id, client id, created, user name, data,
idempotency key, publisher."""


@dataclass(slots=True)
class Imported:
    """What became of a batch."""

    stored: int = 0
    known: int = 0
    """Were there already, by their ids."""
    refused: dict[int, str] = field(default_factory=dict)
    """By the number of the line: why."""


def _bounds(project_id: str, widget_id: str | None) -> tuple[str, str]:
    if widget_id is None:
        return f"{project_id}/", f"{project_id}0"
    key = Channel(project_id, widget_id).key
    return key, f"{key}\x01"


async def message_count(
    connection: "asyncpg.Connection[asyncpg.Record]", project_id: str, widget_id: str | None
) -> int:
    """Return how many messages a project, or one channel of it, has."""
    count: int = await connection.fetchval(_COUNT, *_bounds(project_id, widget_id))
    return count


async def place_of(
    connection: "asyncpg.Connection[asyncpg.Record]", channel: Channel, message_id: str
) -> int | None:
    """Return the sequence of a message, retracted or not; None: the channel has none such."""
    place: int | None = await connection.fetchval(_PLACE, channel.key, message_id)
    return place


async def copy_out(
    connection: "asyncpg.Connection[asyncpg.Record]",
    project_id: str,
    widget_id: str | None,
    form: FileForm,
    output: Callable[[bytes], Any],
    *,
    header: bool = True,
    after: tuple[Channel, int] | None = None,
) -> None:
    """Write what is stored at this moment, by channel and in the channel's order.

    Args:
        connection: of its own; one statement, so one snapshot.
        project_id: of which project.
        widget_id: of which channel; None: of all.
        form: of the lines.
        output: a coroutine function that is given the bytes.
        header: whether CSV begins with the names of the columns.
        after: a channel and a sequence; None: from the beginning.
    """
    lower, upper = _bounds(project_id, widget_id)
    channel, sequence = ("", 0) if after is None else (after[0].key, after[1])
    arguments = (lower, upper, channel, sequence, len(project_id) + 2)
    if form == "csv":
        await connection.copy_from_query(
            _OUT["csv"], *arguments, output=output, format="csv", header=header
        )
        return
    # JSON text has neither of these characters, so that CSV quotes nothing: plain lines.
    await connection.copy_from_query(
        _OUT["jsonl"], *arguments, output=output, format="csv", delimiter="\x01", quote="\x02"
    )


async def store_batch(
    connection: "asyncpg.Connection[asyncpg.Record]",
    batch: Sequence[IncomingMessage],
    *,
    skip_refused: bool,
) -> Imported:
    """Store messages after what their channels have, in one transaction.

    Args:
        connection: of its own.
        batch: in the order of the file.
        skip_refused: store the others where some are refused; else none of the batch is stored
            from the first one on that is refused.

    Returns:
        What was stored. Refused is what is older than the message before it in its channel, and
        what has an idempotency key that another message of its publisher has.
    """
    async with connection.transaction():
        await connection.execute(_INCOMING)
        await connection.copy_records_to_table("incoming", records=batch)
        rows = await connection.fetch(_LOCK)
        newest: dict[str, int] = {row["channel"]: row["last_created"] for row in rows}
        if not any(row["retracted"] for row in rows):
            # Most files bring what is not there; where that is wrong, the unique indexes say so.
            imported, left_out = _judged(batch, newest, frozenset(), frozenset(), skip_refused)
            if not imported.refused:
                with contextlib.suppress(asyncpg.UniqueViolationError):
                    async with connection.transaction():
                        await _store(connection, imported, left_out)
                        return imported
        known = {row["number"] for row in await connection.fetch(_KNOWN)}
        taken = {row["number"] for row in await connection.fetch(_TAKEN_KEYS)}
        imported, left_out = _judged(batch, newest, known, taken, skip_refused)
        await _store(connection, imported, left_out)
        return imported


def _judged(
    batch: Sequence[IncomingMessage],
    newest_there: Mapping[str, int],
    known: Set[int],
    taken: Set[int],
    skip_refused: bool,
) -> tuple[Imported, Sequence[int]]:
    """Return what becomes of a batch, and the numbers of those that are not stored.

    Args:
        batch: in the order of the file.
        newest_there: by channel: the newest `created`.
        known: the numbers of those that are there.
        taken: the numbers of those whose keys are taken.
        skip_refused: as `store_batch` takes it.
    """
    imported = Imported()
    newest = dict(newest_there)
    left_out: list[int] = []
    ids: set[tuple[str, str]] = set()
    keys: set[tuple[str, str, str]] = set()
    for number, channel, message_id, client_id, created, _, _, key, publisher in batch:
        repeat_key = None if key is None else (channel, publisher or f"client:{client_id}", key)
        if number in known or (channel, message_id) in ids:
            imported.known += 1
        elif number in taken or repeat_key in keys:
            imported.refused[number] = (
                "another message of its publisher has the same idempotency_key"
            )
        elif created < newest[channel]:
            imported.refused[number] = (
                f"created is {created}, and the message before it in the channel has "
                f"{newest[channel]}: time never runs backwards within a channel"
            )
        else:
            newest[channel] = created
            ids.add((channel, message_id))
            if repeat_key is not None:
                keys.add(repeat_key)
            imported.stored += 1
            continue
        left_out.append(number)
        if imported.refused and not skip_refused:
            left_out = [*left_out, *(message[0] for message in batch if message[0] > number)]
            break
    return imported, left_out


async def _store(
    connection: "asyncpg.Connection[asyncpg.Record]", imported: Imported, left_out: Sequence[int]
) -> None:
    if left_out:
        await connection.execute(_LEAVE_OUT, left_out)
    if imported.stored:
        await connection.execute(_STORE)
