"""The statements of groups and of aggregates, built with SQLAlchemy.

What a field's values come to is computed here in one way, wherever it is shown or sorted by.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Numeric,
    Select,
    and_,
    case,
    cast,
    column,
    distinct,
    func,
    literal,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, array
from sqlalchemy.sql.expression import TableValuedAlias

from app.domain.channel import Channel
from app.domain.query import AggregateFunction, AggregateSort, FieldPath, MessageQuery
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

_JSON_NULL: Final = literal_column("'null'::jsonb", JSONB)

_EXACT_DIGITS: Final[ColumnElement[int]] = literal_column("430")
"""Digits after the point that tell any two averages apart: 400 of a sum, and 20 for two counts."""


def count_groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `count`: how many groups the messages that match make."""
    keys = select(_key(query).label("key")).where(chosen(channel, query)).distinct().subquery()
    return select(func.count().label("count")).select_from(keys)


def groups(channel: Channel, query: MessageQuery) -> Select[Any]:
    """Select `key` and `count` of a page of groups, in the query's order."""
    sort = query.sort_field
    inner: list[ColumnElement[Any]] = [_key(query).label("key"), MESSAGES.c.sequence]
    if isinstance(sort, AggregateSort):
        inner.append(_value(sort.field))
    keyed = select(*inner).where(chosen(channel, query)).subquery("keyed").c
    counted = select(
        keyed.key, func.count().label("count"), func.min(keyed.sequence).label("first")
    ).group_by(keyed.key)
    if isinstance(sort, AggregateSort):
        counted = counted.add_columns(_ORDERED_BY[sort.function](keyed.value).label("sorted"))
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
    """
    inner: list[ColumnElement[Any]] = [_key(query).label("key"), MESSAGES.c.sequence]
    if field is not None:
        inner.append(_value(field))
    keyed = select(*inner).where(chosen(channel, query)).subquery("keyed").c
    counted = select(func.count().label("messages"), func.min(keyed.sequence).label("first"))
    if field is not None:
        counted = counted.add_columns(*_aggregates(keyed.value, _TALLIED))
    group = counted.group_by(keyed.key).limit(most).subquery("counted")
    return select(_key(query).label("key"), *group.c).join_from(
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
    """
    keys = [] if query.group_by is None else [_key(query).label("key")]
    keyed = select(*keys, _value(field)).where(chosen(channel, query)).subquery("keyed").c
    by = list(keyed)
    counted = select(*by, func.count().label("messages")).where(keyed.value.is_not(null()))
    return counted.group_by(*by).limit(most)


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
        .where(chosen(channel, query))
        .subquery("ranked")
    )
    # Ranked without the data, which may be large, and read by the primary key then.
    return (
        select(ranked.c.group, *COLUMNS)
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
    values = select(_value(field)).where(chosen(channel, query)).subquery("chosen")
    return select(*_aggregates(values.c.value, functions))


def group_aggregates(
    channel: Channel,
    query: MessageQuery,
    keys: Sequence[bytes],
    field: FieldPath,
    functions: Collection[AggregateFunction],
) -> Select[Any]:
    """Select what `aggregate` does for each group, and `group`: the place of its key, from 1."""
    wanted = _wanted(keys)
    values = (
        select(wanted.c.group, _value(field))
        .join_from(MESSAGES, wanted, _key(query) == wanted.c.key)
        .where(chosen(channel, query))
        .subquery("chosen")
    )
    return select(values.c.group, *_aggregates(values.c.value, functions)).group_by(values.c.group)


_TALLIED: Final = frozenset(AggregateFunction) - {AggregateFunction.DISTINCT}


def _key(query: MessageQuery) -> ColumnElement[Any]:
    assert query.group_by is not None, "only a query with groupBy has groups"
    return func.coalesce(json_of(query.group_by), _JSON_NULL, type_=JSONB)


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


# --- aggregates ----------------------------------------------------------------------------


def _value(field: FieldPath) -> ColumnElement[Any]:
    # JSON null counts as no value, as NULL does in SQL's own aggregates.
    return func.nullif(json_of(field), _JSON_NULL, type_=JSONB).label("value")


def _number(value: ColumnElement[Any]) -> ColumnElement[Any]:
    is_number = func.jsonb_typeof(value) == literal_column("'number'")
    return case((is_number, cast(value, Numeric)))


def _extreme(find: Any, value: ColumnElement[Any]) -> ColumnElement[Any]:
    # jsonb has an order but no min and max; arrays have all three, and compare by element.
    found: ColumnElement[Any] = find(array([value]), type_=ARRAY(JSONB))
    return found.filter(value.is_not(null()))  # type: ignore[no-any-return]


def _average(value: ColumnElement[Any]) -> ColumnElement[Any]:
    # Division has as many digits as what it divides.
    number = _number(value)
    return func.round(func.sum(number), _EXACT_DIGITS) / func.count(number)


_ORDERED_BY: Final[dict[AggregateFunction, Callable[[ColumnElement[Any]], ColumnElement[Any]]]] = {
    AggregateFunction.COUNT: func.count,
    AggregateFunction.DISTINCT: lambda value: func.count(distinct(value)),
    AggregateFunction.SUM: lambda value: func.sum(_number(value)),
    AggregateFunction.AVG: _average,
    AggregateFunction.MIN: lambda value: _extreme(func.min, value),
    AggregateFunction.MAX: lambda value: _extreme(func.max, value),
}
"""By function, what groups are sorted by: NULL where there is no value."""


def _aggregates(
    value: ColumnElement[Any], functions: Collection[AggregateFunction]
) -> list[ColumnElement[Any]]:
    columns = {
        str(function): _ORDERED_BY[function](value)
        for function in functions
        if function is not AggregateFunction.AVG
    }
    if AggregateFunction.AVG in functions or AggregateFunction.SUM in functions:
        columns[str(AggregateFunction.SUM)] = func.sum(_number(value))
        columns["numbers"] = func.count(_number(value))
    return [found.label(name) for name, found in columns.items()]
