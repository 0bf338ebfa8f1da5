"""Pages of messages that an index serves: each costs what it shows, not what there is.

Where none serves a page, its statement is that of `app.storage.statements`.
"""

import operator
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    column,
    func,
    lateral,
    literal,
    null,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS
from app.domain.query import Comparison, FieldPath, MessageQuery, Operator
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.definitions import IndexDefinition, key_of
from app.storage.indexes.indexed_query import IndexedFields, IndexedQuery, with_indexed
from app.storage.indexes.keys import KEY_CHARACTERS, is_exact, key_json
from app.storage.indexes.shapes import Shape, conjuncts, keyed_comparisons, page_shape
from app.storage.predicates import condition, json_of
from app.storage.statements import COLUMNS, chosen, sequence_of
from app.storage.statements import messages as unserved
from app.storage.tables import MESSAGES

__all__ = ["messages", "narrowed"]

_MAX_LISTED: Final = 20
"""Values of one `IN` that are read one by one, a page of each."""
_LARGEST_SEQUENCE: Final = 2**63 - 1
_RANGES: Final = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)


class Served(NamedTuple):
    """A statement, and the index that serves it; None: none does."""

    statement: Select[Any]
    index: IndexDefinition | None


def messages(channel: Channel, query: MessageQuery, indexes: SearchIndexes) -> Served:
    """Select a page of the messages that match, in the query's order."""
    equal = _equal(query)
    if query.in_publish_order:
        index = indexes.within(equal)
        if index is not None:
            return Served(_of_one(channel, query, index, equal), index)
        listed = _listed(query)
        for field, values in listed.items():
            index = indexes.within({field, *equal})
            if index is not None:
                return Served(_of_several(channel, query, index, equal, field, values), index)
    sort = query.sort_field
    if isinstance(sort, FieldPath) and sort.path and sort not in equal:
        index = indexes.ending_with(equal, sort)
        numbers = _only_numbers(query, sort)
        if index is not None and (numbers or indexes.strings_in_order):
            by_key = with_indexed(
                query, IndexedFields(frozenset(index.fields), indexes.strings_in_order)
            )
            if numbers and not query.is_descending:
                return Served(_in_index_order(channel, by_key, sort), index)
            return Served(_sorted(channel, by_key, index, sort, numbers), index)
    query, index = narrowed(query, page_shape(query), indexes)
    return Served(unserved(channel, query), index)


def narrowed(
    query: MessageQuery, shape: Shape, indexes: SearchIndexes
) -> tuple[MessageQuery, IndexDefinition | None]:
    """Return the query with the comparisons of its shape written for the index that narrows it.

    Returns:
        The query itself and None where no index does.
    """
    index = indexes.narrowing(shape.equal, shape.ordered)
    if index is None:
        return query, None
    fields = IndexedFields(frozenset(index.fields), indexes.strings_in_order)
    return with_indexed(query, fields), index


# --- in publish order -----------------------------------------------------------------------


class _Run:
    """The entries of an index that have the same keys: they follow each other by sequence.

    Their bounds and their order name the keys as well as the sequence, row by row: so no plan
    can walk along the primary key for them, past all other messages of the channel.
    """

    def __init__(self, keys: Mapping[ColumnElement[Any], ColumnElement[Any]]) -> None:
        self._keys, self._values = list(keys), list(keys.values())
        self._entry = tuple_(*self._keys, MESSAGES.c.sequence)

    def between(self, channel: Channel, query: MessageQuery) -> ColumnElement[bool]:
        """Return the condition of lying there, and between the query's cursors."""
        after = literal(0, BigInteger) if query.after is None else sequence_of(channel, query.after)
        before = (
            literal(_LARGEST_SEQUENCE, BigInteger)
            if query.before is None
            else sequence_of(channel, query.before)
        )
        return and_(
            # What is left out of the index has no key; a row comparison does not tell a planner.
            *(key.is_not(null()) for key in self._keys[:1]),
            self._entry > tuple_(*self._values, after),
            self._entry < tuple_(*self._values, before),
        )

    def order(self, descending: bool) -> list[ColumnElement[Any]]:
        parts = [*self._keys, MESSAGES.c.sequence]
        return [part.desc() if descending else part.asc() for part in parts]


def _of_one(
    channel: Channel,
    query: MessageQuery,
    index: IndexDefinition,
    equal: Mapping[FieldPath, Comparison],
) -> Select[Any]:
    """Select a page of those that have one value in each field of the index."""
    run = _Run({key_of(field): _operand(equal[field]) for field in index.fields})
    rest = _rest(query, [equal[field] for field in index.fields])
    page = select(*COLUMNS).where(MESSAGES.c.channel == channel.key, run.between(channel, query))
    page = page.where(*rest).offset(query.offset).limit(query.limit)
    return page.order_by(*run.order(query.is_descending))


def _of_several(
    channel: Channel,
    query: MessageQuery,
    index: IndexDefinition,
    equal: Mapping[FieldPath, Comparison],
    listed: FieldPath,
    comparison: Comparison,
) -> Select[Any]:
    """Select a page of those that have one of a few values in one field of the index.

    Of each value as many are read as the page and its offset have.
    """
    wanted = _unnested(listed, comparison)
    run = _Run(
        {
            key_of(field): wanted.c.key if field == listed else _operand(equal[field])
            for field in index.fields
        }
    )
    consumed = [comparison if field == listed else equal[field] for field in index.fields]
    each = lateral(
        select(*COLUMNS)
        .where(MESSAGES.c.channel == channel.key, run.between(channel, query))
        .where(*_rest(query, consumed))
        .order_by(*run.order(query.is_descending))
        .limit(query.offset + query.limit),
        "each",
    )
    order = each.c.sequence.desc() if query.is_descending else each.c.sequence.asc()
    page = select(*(each.c[name] for name in MESSAGE_COLUMNS)).select_from(wanted)
    page = page.join(each, literal(1) == literal(1))
    return page.order_by(order).offset(query.offset).limit(query.limit)


def _unnested(field: FieldPath, comparison: Comparison) -> Any:
    assert isinstance(comparison.value, list)
    keys: list[Any] = comparison.value
    kind: Any = Text
    if field.name == "data":
        keys, kind = list(map(key_json, keys)), JSONB
    rows = func.unnest(literal(list(dict.fromkeys(keys)), ARRAY(kind)))
    return rows.table_valued(column("key", kind)).render_derived().alias("wanted")


def _rest(query: MessageQuery, consumed: list[Comparison]) -> list[ColumnElement[bool]]:
    """Return the conditions that the keys do not tell."""
    exact = {id(one) for one in consumed if _is_exact(one)}
    return [condition(one) for one in conjuncts(query.filters) if id(one) not in exact]


def _is_exact(comparison: Comparison) -> bool:
    values = comparison.value if comparison.operator is Operator.IN else [comparison.value]
    assert isinstance(values, list)
    # Columns are their own keys.
    return comparison.field.name != "data" or all(map(is_exact, values))


def _operand(comparison: Comparison) -> ColumnElement[Any]:
    if comparison.field.name == "data":
        return literal(key_json(comparison.value), JSONB)
    return literal(comparison.value, Text)


# --- in the order of a path -----------------------------------------------------------------


def _in_index_order(channel: Channel, query: MessageQuery, sort: FieldPath) -> Select[Any]:
    """Select a page of numbers, least first: as the index has them, ties in publish order."""
    key = key_of(sort)
    page = select(*COLUMNS).where(chosen(channel, query), key.is_not(null()))
    page = page.order_by(key.asc(), MESSAGES.c.sequence.asc())
    return page.offset(query.offset).limit(query.limit)


def _sorted(
    channel: Channel, query: IndexedQuery, index: IndexDefinition, sort: FieldPath, numbers: bool
) -> Select[Any]:
    """Select a page in the order of a path, ties in publish order, missing ones last.

    An index has ties in publish order in one direction only, long strings by their beginnings
    only, and may not have missing ones. So the key of the page's last message comes first:
    before it lie fewer messages than the page and its offset have; of those that share it, as
    many are read; and if there is no such message, of the missing ones as many.
    """
    key, value, descending = key_of(sort), json_of(sort), query.is_descending
    matching = and_(chosen(channel, query), key.is_not(null()))
    reach = query.offset + query.limit
    order = key.desc() if descending else key.asc()
    last = (
        select(key.label("key")).where(matching).order_by(order).offset(reach - 1).limit(1)
    ).cte("last")
    # Fewer than that: all of them, as if the page ended at the last key of all.
    end = literal(b"[]" if descending else b"{}", JSONB)
    last_key = func.coalesce(select(last.c.key).scalar_subquery(), end, type_=JSONB)
    columns = (*COLUMNS, value.label("sorted_by"))
    nearer = operator.gt if descending else operator.lt
    parts = [select(*columns).where(matching, nearer(key, last_key)).order_by(order).limit(reach)]
    tied = _Run({key: last_key})
    # Ranges of the key are ranges of the values here: of two bounds, a scan begins at either.
    by_value = with_indexed(query, query.indexed._replace(fields=query.indexed.fields - {sort}))
    same = select(*columns).where(chosen(channel, by_value), tied.between(channel, query))
    same = same.limit(reach)
    in_order = same.order_by(*tied.order(descending=False))
    if numbers:
        parts.append(in_order)
    else:
        shortened = func.coalesce(
            select(_is_shortened(last.c.key)).scalar_subquery(), literal(not descending)
        )
        parts.append(in_order.where(~shortened))
        best = value.desc() if descending else value.asc()
        parts.append(same.where(shortened).order_by(best, MESSAGES.c.sequence))
    if not _is_present(query, sort):
        missing = select(*columns).where(chosen(channel, query), key.is_(null())).limit(reach)
        missing = missing.where(select(last.c.key).scalar_subquery().is_(null()))
        # An index on other fields too has them; along with the key, so that it is chosen.
        by = [key] if len(index.fields) > 1 else []
        parts.append(missing.order_by(*by, MESSAGES.c.sequence))
    found = union_all(*(select(part.subquery()) for part in parts)).subquery("found").c
    best = found.sorted_by.desc() if descending else found.sorted_by.asc()
    page = select(*(found[name] for name in MESSAGE_COLUMNS))
    page = page.order_by(best.nulls_last(), found.sequence)
    return page.offset(query.offset).limit(query.limit)


def _is_shortened(key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return whether values that differ may have this key: long strings, arrays, objects."""
    text = key.op("#>>")(literal([], ARRAY(Text)))
    return case(
        (func.jsonb_typeof(key) == literal("string", Text), func.length(text) > KEY_CHARACTERS),
        else_=func.jsonb_typeof(key).in_([literal("array", Text), literal("object", Text)]),
    )


def _only_numbers(query: MessageQuery, field: FieldPath) -> bool:
    """Return whether all that match have a number there."""
    return any(
        isinstance(one, Comparison)
        and one.field == field
        and one.operator in _RANGES
        and not isinstance(one.value, str | bool)
        for one in conjuncts(query.filters)
    )


def _is_present(query: MessageQuery, field: FieldPath) -> bool:
    """Return whether all that match have something there."""
    return any(
        isinstance(one, Comparison)
        and one.field == field
        and one.operator not in (Operator.NEQ, Operator.NOT_IN)
        and not (one.operator is Operator.EXISTS and one.value is False)
        for one in conjuncts(query.filters)
    )


# --- what the filters say -------------------------------------------------------------------


def _equal(query: MessageQuery) -> dict[FieldPath, Comparison]:
    """Return the fields that have one value each, and the comparisons that say so."""
    return {one.field: one for one in keyed_comparisons(query) if one.operator is Operator.EQ}


def _listed(query: MessageQuery) -> dict[FieldPath, Comparison]:
    """Return the fields that have one of a few values each."""
    return {
        one.field: one
        for one in keyed_comparisons(query)
        if one.operator is Operator.IN
        and isinstance(one.value, list)
        and 0 < len(one.value) <= _MAX_LISTED
    }
