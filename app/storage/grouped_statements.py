"""The statements of groups and of aggregates, built with SQLAlchemy."""

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.expression import TableValuedAlias

from app.domain.channel import Channel
from app.domain.query import AggregateFunction, AggregateSort, FieldPath, MessageQuery
from app.storage.field_values import JSON_NULL, Values, value_of
from app.storage.predicates import json_of
from app.storage.statements import COLUMNS, chosen
from app.storage.tables import MESSAGES

__all__ = [
    "aggregate",
    "all_groups",
    "count_groups",
    "group_aggregates",
    "group_messages",
    "groups",
    "values",
]


_SMALL_BYTES: Final[ColumnElement[int]] = literal_column("500")
"""Of JSON text: so what is kept of ten thousand groups has a bound."""
_EXTREMES: Final = frozenset({"min", "max"})


def _small(value: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((func.octet_length(cast(value, Text)) <= _SMALL_BYTES, value))


_TALLIED: Final = frozenset(AggregateFunction) - {AggregateFunction.DISTINCT}


def count_groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `count`: how many groups the messages that match make."""
    keys = select(_key(query).label("key")).where(chosen(channel, query)).distinct().subquery()
    return select(func.count().label("count")).select_from(keys)


def groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `key` and `count` of a page of groups, in the query's order."""
    keyed = select(_key(query).label("key"), MESSAGES.c.sequence).where(chosen(channel, query))
    sort = query.sort_field
    if isinstance(sort, AggregateSort):
        values = Values(keyed.add_columns(value_of(sort.field)), [sort.function])
        key, sequence = values.rows.key, values.rows.sequence
        columns = [values.messages, func.min(sequence), values.ordered_by(sort.function)]
    else:
        key, sequence = keyed.subquery("keyed").c
        columns = [func.count(), func.min(sequence)]
    labels = ("count", "first", "sorted")
    counted = select(key, *map(ColumnElement.label, columns, labels)).group_by(key)
    page = counted.order_by(*_group_order(query, counted.selected_columns)).offset(query.offset)
    group = page.limit(query.limit).subquery("page").c
    # Equal keys may be written differently (1 and 1.0): the first message's form is shown.
    return (
        select(_key(query).label("key"), group["count"])
        .join_from(
            MESSAGES,
            group.first.table,
            and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == group.first),
        )
        .order_by(*_group_order(query, group))
    )


def all_groups(
    channel: Channel, query: MessageQuery, field: FieldPath | None, most: int
) -> Select[Any]:
    """Select every group: `key`, `count` and `first`, the sequence of its first message.

    Args:
        channel: where.
        query: with `group_by`; neither its order nor its page matters.
        field: its aggregates stand beside, as `aggregate` has them; None: none.
        most: groups at the most.

    A key, or an extreme, of more than 500 bytes of JSON text is NULL.
    """
    keyed = select(_key(query).label("key"), MESSAGES.c.sequence).where(chosen(channel, query))
    if field is None:
        key, sequence = keyed.subquery("keyed").c
        tallied: list[ColumnElement[Any]] = []
    else:
        values = Values(keyed.add_columns(value_of(field)), _TALLIED)
        key, sequence = values.rows.key, values.rows.sequence
        tallied = values.columns(_TALLIED)
    counted = select(func.count().label("messages"), func.min(sequence).label("first"), *tallied)
    group = counted.group_by(key).limit(most).subquery("counted")
    shown = [_small(one).label(one.name) if one.name in _EXTREMES else one for one in group.c]
    return select(_small(_key(query)).label("key"), *shown).join_from(
        MESSAGES,
        group,
        and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == group.c.first),
    )


def values(channel: Channel, query: MessageQuery, field: FieldPath, most: int) -> Select[Any]:
    """Select each different `value` of a field, and how many `messages` have it.

    Args:
        channel: where.
        query: with `group_by`, each `key` and value; else each value.
        field: any.
        most: rows at the most.

    A key or value of more than 500 bytes of JSON text is NULL.
    """
    keys = [] if query.group_by is None else [_key(query).label("key")]
    keyed = select(*keys, value_of(field)).where(chosen(channel, query)).subquery("keyed").c
    by = list(keyed)
    shown = [_small(one).label(one.name) for one in by]
    counted = select(*shown, func.count().label("messages")).where(keyed.value.is_not(None))
    return counted.group_by(*by).limit(most)


def group_messages(
    channel: Channel,
    query: MessageQuery,
    keys: Sequence[bytes],
    limit: int,
    within: int | None = None,
) -> Select[Any]:
    """Select the first messages of each group, and `group`: the place of its key, from 1.

    Args:
        channel: whose.
        query: with `group_by`.
        keys: of the groups.
        limit: messages of each.
        within: only the first so many that match are looked through. Then each row tells as
            `whole` whether those are all there are.
    """
    wanted = _wanted(keys)
    keyed = select(_key(query).label("key"), MESSAGES.c.sequence).where(chosen(channel, query))
    whole: list[ColumnElement[Any]] = []
    members: FromClause = keyed.subquery("members")
    if within is not None:
        members = keyed.order_by(MESSAGES.c.sequence).limit(within).cte("members")
        size = select(func.count()).select_from(members).scalar_subquery()
        whole = [(size < within).label("whole")]
    place = func.row_number().over(partition_by=wanted.c.group, order_by=members.c.sequence)
    ranked = (
        select(wanted.c.group, members.c.sequence, place.label("place"))
        .join_from(members, wanted, members.c.key == wanted.c.key)
        .subquery("ranked")
    )
    # Ranked without the data, which may be large, and read by the primary key then.
    return (
        select(ranked.c.group, *COLUMNS, *whole)
        .join_from(
            ranked,
            MESSAGES,
            and_(MESSAGES.c.channel == channel.key, MESSAGES.c.sequence == ranked.c.sequence),
        )
        .where(ranked.c.place <= limit)
        .order_by(ranked.c.group, ranked.c.place)
    )


def aggregate(
    channel: Channel,
    query: MessageQuery,
    field: FieldPath,
    functions: Collection[AggregateFunction],
) -> Select[Any]:
    """Select what a field comes to over all that match.

    The columns are named as the functions are; `numbers` stands beside `sum` in the place of
    `avg`, which is for whoever divides exactly.
    """
    values = Values(select(value_of(field)).where(chosen(channel, query)), functions)
    return select(*values.columns(functions))


def group_aggregates(
    channel: Channel,
    query: MessageQuery,
    keys: Sequence[bytes],
    field: FieldPath,
    functions: Collection[AggregateFunction],
) -> Select[Any]:
    """Select what `aggregate` does for each group, and `group`: the place of its key, from 1."""
    wanted = _wanted(keys)
    members = (
        select(wanted.c.group, value_of(field))
        .join_from(MESSAGES, wanted, _key(query) == wanted.c.key)
        .where(chosen(channel, query))
    )
    values = Values(members, functions)
    return select(values.rows.group, *values.columns(functions)).group_by(values.rows.group)


def _key(query: MessageQuery) -> ColumnElement[Any]:
    assert query.group_by is not None, "groups require a query with groupBy"
    return func.coalesce(json_of(query.group_by), JSON_NULL, type_=JSONB)


def _group_order(query: MessageQuery, group: Any) -> list[Any]:
    descending = query.is_descending
    if query.sort_field == "key":
        return [group.key.desc() if descending else group.key.asc()]
    by = group["sorted" if isinstance(query.sort_field, AggregateSort) else "count"]
    # A group without a value comes last in both directions, as a missing path does.
    return [(by.desc() if descending else by.asc()).nulls_last(), group.first]


def _wanted(keys: Sequence[bytes]) -> TableValuedAlias:
    unnested = func.unnest(literal(list(keys), ARRAY(JSONB)))
    return (
        unnested.table_valued(column("key", JSONB), with_ordinality="group")
        .render_derived()
        .alias("wanted")
    )
