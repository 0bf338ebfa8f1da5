"""The statements of a search, built with SQLAlchemy and rendered for asyncpg.

Reading order of a channel is `sequence`; `created` never runs backwards within it.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.sql.expression import TableValuedAlias, UnaryExpression

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS
from app.domain.query import FieldPath, MessageQuery
from app.storage.predicates import condition, json_of
from app.storage.tables import CHANNELS, MESSAGES

__all__ = [
    "aggregate",
    "count_groups",
    "count_messages",
    "group_aggregates",
    "group_messages",
    "groups",
    "messages",
    "rendered",
]

_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
_JSON_NULL: Final = literal_column("'null'::jsonb", JSONB)

_LARGEST_SEQUENCE: Final = 2**63 - 1

_COLUMNS: Final = tuple(
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
    chosen = _chosen(channel, query)
    field = query.sort_field
    assert field is None or isinstance(field, FieldPath), "groups sort by count or key"
    page = select(*_COLUMNS).offset(query.offset).limit(query.limit)
    if field is None or field.name == "created":
        if not query.descending:
            # The order of the primary key: a page costs what it reads, not what there is.
            return page.where(chosen).order_by(MESSAGES.c.sequence)
        chosen = and_(chosen, *_is_newest(channel, query))
        return page.where(chosen).order_by(MESSAGES.c.created.desc(), MESSAGES.c.sequence)
    return page.where(chosen).order_by(_sorted(field, bool(query.descending)), MESSAGES.c.sequence)


def count_messages(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `count`: how many messages match; of all of a channel without a scan."""
    if not query.filters:
        counted = select(CHANNELS.c.head - CHANNELS.c.removed)
        known = counted.where(CHANNELS.c.channel == channel.key).scalar_subquery()
        return select(func.coalesce(known, 0).label("count"))
    return select(func.count().label("count")).select_from(MESSAGES).where(_chosen(channel, query))


def count_groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `count`: how many groups the messages that match make."""
    keys = select(_key(query).label("key")).where(_chosen(channel, query)).distinct().subquery()
    return select(func.count().label("count")).select_from(keys)


def groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `key` and `count` of a page of groups, in the query's order."""
    keyed = select(_key(query).label("key"), MESSAGES.c.sequence).where(_chosen(channel, query))
    keys = keyed.subquery("keyed").c
    counted = select(
        keys.key, func.count().label("count"), func.min(keys.sequence).label("first")
    ).group_by(keys.key)
    page = counted.order_by(*_group_order(query, counted.selected_columns)).offset(query.offset)
    group = page.limit(query.limit).subquery("page").c
    # Equal keys may be written differently (1 and 1.0): the first message's form is shown.
    return (
        select(_key(query).label("key"), group.count)
        .join_from(
            MESSAGES,
            group.first.table,
            and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == group.first),
        )
        .order_by(*_group_order(query, group))
    )


def group_messages(
    channel: Channel, query: MessageQuery, keys: Sequence[bytes], limit: int
) -> Select[Any]:
    """Select the first messages of each group, and `group`: the place of its key, from 1."""
    wanted = _wanted(keys)
    ranked = (
        select(
            wanted.c.group,
            MESSAGES.c.sequence,
            func.row_number()
            .over(partition_by=wanted.c.group, order_by=MESSAGES.c.sequence)
            .label("place"),
        )
        .join_from(MESSAGES, wanted, _key(query) == wanted.c.key)
        .where(_chosen(channel, query))
        .subquery("ranked")
    )
    # Ranked without the data, which may be large, and read by the primary key then.
    return (
        select(ranked.c.group, *_COLUMNS)
        .join_from(
            ranked,
            MESSAGES,
            and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == ranked.c.sequence),
        )
        .where(ranked.c.place <= limit)
        .order_by(ranked.c.group, ranked.c.place)
    )


def aggregate(channel: Channel, query: MessageQuery, field: FieldPath) -> Select[Any]:
    """Select `count`, `min`, `max`, `sum` and `numbers` of a field over all that match."""
    values = select(_value(field)).where(_chosen(channel, query)).subquery("chosen")
    return select(*_aggregates(values.c.value))


def group_aggregates(
    channel: Channel, query: MessageQuery, keys: Sequence[bytes], field: FieldPath
) -> Select[Any]:
    """Select what `aggregate` does for each group, and `group`: the place of its key, from 1."""
    wanted = _wanted(keys)
    values = (
        select(wanted.c.group, _value(field))
        .join_from(MESSAGES, wanted, _key(query) == wanted.c.key)
        .where(_chosen(channel, query))
        .subquery("chosen")
    )
    return select(values.c.group, *_aggregates(values.c.value)).group_by(values.c.group)


def _chosen(channel: Channel, query: MessageQuery) -> ColumnElement[bool]:
    return and_(MESSAGES.c.channel == channel.key, *map(condition, query.filters))


def _sorted(field: FieldPath, descending: bool) -> UnaryExpression[Any]:
    # A missing path is NULL and comes last in both directions; a username of null is there,
    # and null is the smallest value that jsonb's order has.
    value = json_of(field) if field.name == "data" else MESSAGES.c[field.name]
    if descending:
        return value.desc().nulls_last()
    return value.asc().nulls_first() if field.name == "username" else value.asc().nulls_last()


def _is_newest(channel: Channel, query: MessageQuery) -> tuple[ColumnElement[bool], ...]:
    """Return conditions that keep only the newest messages, enough for a page of them.

    `ORDER BY created DESC, sequence` alone would sort the whole channel. The newest
    `offset + limit` that match are read backwards along the primary key instead; messages of
    the same millisecond as the last of them belong to the page's sort too, and lie just before.
    """
    newest = (
        select(MESSAGES.c.sequence, MESSAGES.c.created)
        .where(_chosen(channel, query))
        .order_by(MESSAGES.c.sequence.desc())
        .limit(query.offset + query.limit)
        .subquery("newest")
    )
    last = select(newest).order_by(newest.c.sequence).limit(1).subquery("last")
    earlier = MESSAGES.alias("earlier")
    older = (
        select(earlier.c.sequence)
        .select_from(last)
        .where(
            earlier.c.channel == channel.key,
            earlier.c.sequence < last.c.sequence,
            earlier.c.created < last.c.created,
        )
        .order_by(earlier.c.sequence.desc())
        .limit(1)
        .scalar_subquery()
    )
    # A bound that is unknown beforehand counts as a third of the table, and would be scanned
    # for; between two bounds it counts as few, and is sought in the primary key.
    return (
        MESSAGES.c.sequence > func.coalesce(older, literal(0, BigInteger)),
        MESSAGES.c.sequence <= literal(_LARGEST_SEQUENCE, BigInteger),
    )


def _key(query: MessageQuery) -> ColumnElement[Any]:
    assert query.group_by is not None, "only a query with groupBy has groups"
    return func.coalesce(json_of(query.group_by), _JSON_NULL, type_=JSONB)


def _group_order(query: MessageQuery, group: Any) -> list[Any]:
    if query.sort_field == "key":
        return [group.key.desc() if query.descending else group.key.asc()]
    ascending = query.descending is False
    return [group["count"].asc() if ascending else group["count"].desc(), group.first]


def _wanted(keys: Sequence[bytes]) -> TableValuedAlias:
    unnested = func.unnest(literal(list(keys), ARRAY(JSONB)))
    return (
        unnested.table_valued(column("key", JSONB), with_ordinality="group")
        .render_derived()
        .alias("wanted")
    )


def _value(field: FieldPath) -> ColumnElement[Any]:
    # JSON null counts as no value, as NULL does in SQL's own aggregates.
    return func.nullif(json_of(field), _JSON_NULL, type_=JSONB).label("value")


def _aggregates(value: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    present = value.is_not(null())
    number = case((func.jsonb_typeof(value) == literal_column("'number'"), cast(value, Numeric)))
    # jsonb has an order but no min and max; arrays have all three, and compare by element.
    single = array([value])
    return [
        func.count(value).label("count"),
        func.min(single, type_=ARRAY(JSONB)).filter(present).label("min"),
        func.max(single, type_=ARRAY(JSONB)).filter(present).label("max"),
        func.sum(number).label("sum"),
        func.count(number).label("numbers"),
    ]
