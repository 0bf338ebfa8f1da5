"""What the database knows of shapes and their indexes: the table `search_shapes`, its catalogue.

Every function takes what runs a statement: a pool's `fetch`, or a connection's.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from app.storage.indexes.decisions import Known
from app.storage.indexes.definitions import IndexDefinition
from app.storage.indexes.demand import Noted
from app.storage.string_order import orders_by_code_point

__all__ = ["MAX_SHAPES", "Fetch", "Registry", "forget", "keep", "note_built", "read", "tell"]

Fetch = Callable[..., Awaitable[Sequence[Any]]]

MAX_SHAPES: Final = 500
"""Shapes kept without an index: those that took longest."""

# `uses` and `seconds` count half as much for each day since they were written. The days are
# bounded: a clock that was set back, or years of disuse, would leave the range of the numbers.
_LEFT: Final = """
    power(0.5, least(500, greatest(0, extract(epoch FROM now() - s.used_at) / 86400)))
"""
_READ: Final = f"""
    SELECT s.name, s.paths, s.kept, i.valid, coalesce(i.bytes, 0) AS bytes,
        (s.uses * {_LEFT})::float8 AS uses,
        (s.seconds * {_LEFT})::float8 AS seconds,
        extract(epoch FROM now() - s.used_at)::float8 AS unused_seconds,
        extract(epoch FROM now() - s.built_at)::float8 AS built_seconds
    FROM search_shapes AS s
    LEFT JOIN (
        SELECT c.relname, i.indisvalid AS valid, pg_relation_size(c.oid) AS bytes
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
        WHERE i.indrelid = 'messages'::regclass
    ) AS i ON i.relname = s.name
    ORDER BY s.name
"""  # noqa: S608  (no value is in the text)
# An index helps a search that matches at most a tenth of the messages.
# Rows are taken in the order of their names, so two processes never wait in a circle.
_TELL: Final = f"""
    INSERT INTO search_shapes AS s (name, paths, uses, seconds, used_at)
    SELECT n.name, n.paths, sum(n.uses), sum(n.seconds), now()
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[], $6::bigint[])
        AS n (name, paths, channel, uses, seconds, matched)
    LEFT JOIN channels AS c ON c.channel = n.channel
    WHERE n.channel IS NULL OR (
        c.head - c.removed >= $7
        AND n.matched * 10 <= c.head - c.removed
    )
    GROUP BY n.name, n.paths
    ORDER BY n.name
    ON CONFLICT (name) DO UPDATE SET
        uses = s.uses * {_LEFT} + excluded.uses,
        seconds = s.seconds * {_LEFT} + excluded.seconds,
        used_at = excluded.used_at
"""  # noqa: S608  (no value is in the text)
_PRUNE: Final = f"""
    DELETE FROM search_shapes AS s
    USING (
        SELECT name FROM search_shapes AS s
        WHERE NOT EXISTS (SELECT FROM pg_class AS c WHERE c.relname = s.name)
        ORDER BY s.seconds * {_LEFT} DESC
        OFFSET $1
    ) AS beyond
    WHERE s.name = beyond.name
"""  # noqa: S608  (no value is in the text)
_BUILT: Final = """
    INSERT INTO search_shapes AS s (name, paths, used_at, built_at, kept)
    VALUES ($1, $2, now(), now(), $3)
    ON CONFLICT (name) DO UPDATE SET built_at = now(), kept = s.kept OR excluded.kept
"""


class Registry(NamedTuple):
    """All of it, as it was at one moment."""

    shapes: list[Known]
    strings_in_order: bool

    @property
    def ready(self) -> list[IndexDefinition]:
        """The indexes that statements may rely on."""
        return [one.index for one in self.shapes if one.valid]


async def read(fetch: Fetch) -> Registry:
    """Return what the database knows."""
    strings_in_order = await orders_by_code_point(fetch)
    shapes = [
        Known(
            index=IndexDefinition.from_json(row["paths"]),
            uses=row["uses"],
            seconds=row["seconds"],
            unused_seconds=row["unused_seconds"],
            built_seconds=row["built_seconds"],
            kept=row["kept"],
            valid=row["valid"],
            bytes=row["bytes"],
        )
        for row in await fetch(_READ)
    ]
    return Registry(shapes, strings_in_order)


async def tell(fetch: Fetch, noted: Sequence[Noted], large_channel_messages: int) -> None:
    """Add what was noted; of channels with fewer messages than these, nothing."""
    columns = [
        [one.index.name for one in noted],
        [one.index.paths_json for one in noted],
        [one.channel for one in noted],
        [one.uses for one in noted],
        [one.seconds for one in noted],
        [one.matched for one in noted],
    ]
    await fetch(_TELL, *columns, large_channel_messages)
    await fetch(_PRUNE, MAX_SHAPES)


async def note_built(fetch: Fetch, index: IndexDefinition, *, kept: bool) -> None:
    """Note that an index is being built: what is unfinished is known by that."""
    await fetch(_BUILT, index.name, index.paths_json, kept)


async def keep(fetch: Fetch, index: IndexDefinition) -> None:
    """Note that an index was added by hand."""
    await fetch("UPDATE search_shapes SET kept = true WHERE name = $1", index.name)


async def forget(fetch: Fetch, index: IndexDefinition) -> None:
    """Forget a shape whose index was dropped: it has to be wanted anew."""
    await fetch("DELETE FROM search_shapes WHERE name = $1", index.name)
