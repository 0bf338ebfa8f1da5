"""The statements of a search for messages, built with SQLAlchemy and rendered for asyncpg.

Publish order is `sequence`, which the primary key has: newest first is that order backwards,
and a page beside a cursor costs what it reads. Groups: `grouped_statements`.
"""

import operator
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, cast, func, literal, select, union_all
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.expression import UnaryExpression

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS
from app.domain.query import FieldPath, MessageQuery
from app.storage.created_bounds import by_sequence
from app.storage.indexes.indexed_query import indexed_fields
from app.storage.predicates import condition, json_of
from app.storage.tables import CHANNELS, MESSAGES, RETRACTED_MESSAGES, RETRACTIONS

__all__ = [
    "COLUMNS",
    "chosen",
    "count_messages",
    "far_messages",
    "first",
    "messages",
    "preceding",
    "rendered",
    "sequence_of",
    "sequences",
]

_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap

COLUMNS: Final = tuple(
    cast(MESSAGES.c.id, Text).label("id") if name == "id" else MESSAGES.c[name]
    for name in MESSAGE_COLUMNS
)
"""What `app.storage.rows.message_from_row` reads."""


def rendered(statement: Select[Any]) -> tuple[str, tuple[Any, ...]]:
    """Return the SQL text with $1, $2 … and the values to bind, in order."""
    compiled = statement.compile(dialect=_DIALECT)
    assert compiled.positiontup is not None, "asyncpg's parameters are positional"
    return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup)


def messages(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select a page of the messages that match, in the query's order."""
    page = select(*COLUMNS).where(chosen(channel, query)).order_by(*_order(query))
    return page.offset(query.offset).limit(query.limit)


def far_messages(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select what `messages` does: what is skipped is skipped by its place, and not carried."""
    order = _order(query)
    skipped = select(MESSAGES.c.sequence).where(chosen(channel, query)).order_by(*order)
    places = skipped.offset(query.offset).limit(query.limit).subquery("places")
    here = and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == places.c.sequence)
    return select(*COLUMNS).join_from(places, MESSAGES, here).order_by(*order)


def count_messages(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `count`: how many messages match; of all of a channel without a scan."""
    if not query.filters and (query.after, query.before, query.up_to) == (None, None, None):
        counted = select(CHANNELS.c.head - CHANNELS.c.removed)
        known = counted.where(CHANNELS.c.channel == channel.key).scalar_subquery()
        return select(func.coalesce(known, 0).label("count"))
    return select(func.count().label("count")).select_from(MESSAGES).where(chosen(channel, query))


def sequences(channel: Channel, query: MessageQuery, after: int, limit: int) -> Select[Any]:
    """Select the `sequence` of the first messages that match after a place, in publish order."""
    page = select(MESSAGES.c.sequence).where(chosen(channel, query), MESSAGES.c.sequence > after)
    return page.order_by(_in_publish_order(descending=False)).limit(limit)


def first(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select the `sequence` of the first message that matches, in publish order."""
    one = select(MESSAGES.c.sequence).where(chosen(channel, query)).limit(1)
    return one.order_by(_in_publish_order(descending=False))


def preceding(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select the `sequence` of the last message that matches before where the query begins.

    The query begins at its cursor: `after`, or newest first `before`. The cursor's message
    itself comes before, so that this costs one row where the cursor is of the same query.
    """
    descending = query.is_descending
    cursor = query.before if descending else query.after
    assert cursor is not None, "it begins at a cursor"
    passed = (operator.ge if descending else operator.le)(
        MESSAGES.c.sequence, sequence_of(channel, cursor)
    )
    matching = chosen(channel, replace(query, after=None, before=None))
    one = select(MESSAGES.c.sequence).where(matching, passed).limit(1)
    return one.order_by(_in_publish_order(not descending))


def chosen(channel: Channel, query: MessageQuery) -> ColumnElement[bool]:
    """Return the condition of what a query is about: its filters, and what its cursors leave.

    A cursor that is unknown leaves nothing; whoever asks has to find that out.
    """
    bounds, filters = by_sequence(channel, query.filters)
    return and_(
        MESSAGES.c.channel == channel.key,
        *bounds,
        *(
            compare(MESSAGES.c.sequence, sequence_of(channel, cursor))
            for cursor, compare in ((query.after, operator.gt), (query.before, operator.lt))
            if cursor is not None
        ),
        *([] if query.up_to is None else [MESSAGES.c.sequence <= query.up_to]),
        *(condition(one, indexed_fields(query)) for one in filters),
    )


def sequence_of(channel: Channel, cursor: str) -> ColumnElement[int]:
    """Return the place of what has that id in the channel's order: NULL where there is none."""
    message_id = literal(str(UUID(cursor)), MESSAGES.c.id.type)
    places = [
        select(placed.c.sequence).where(placed.c.channel == channel.key, placed.c.id == message_id)
        for placed in (table.alias() for table in (MESSAGES, RETRACTED_MESSAGES, RETRACTIONS))
    ]
    return union_all(*places).scalar_subquery()


def _in_publish_order(descending: bool) -> ColumnElement[Any]:
    return MESSAGES.c.sequence.desc() if descending else MESSAGES.c.sequence.asc()


def _order(query: MessageQuery) -> tuple[ColumnElement[Any], ...]:
    if query.in_publish_order:
        return (_in_publish_order(query.is_descending),)
    field = query.sort_field
    assert isinstance(field, FieldPath), "groups have statements of their own"
    return _sorted(field, query.is_descending), MESSAGES.c.sequence


def _sorted(field: FieldPath, descending: bool) -> UnaryExpression[Any]:
    # A missing path is NULL and comes last in both directions; a username of null is there,
    # and null is the smallest value that jsonb's order has.
    value = json_of(field) if field.name == "data" else MESSAGES.c[field.name]
    if descending:
        return value.desc().nulls_last()
    return value.asc().nulls_first() if field.name == "username" else value.asc().nulls_last()
