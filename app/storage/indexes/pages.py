"""Pages of messages that an index serves: each costs what it shows, not what there is.

Where none serves a page, its statement is that of `app.storage.statements`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    column,
    func,
    lateral,
    literal,
    null,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS
from app.domain.query import Comparison, FieldPath, MessageQuery, Operator, conjuncts
from app.storage.indexes.catalogue import SearchIndexes
from app.storage.indexes.definitions import IndexDefinition, key_of
from app.storage.indexes.indexed_query import IndexedFields, with_indexed
from app.storage.indexes.keys import is_exact, key_json
from app.storage.indexes.shapes import Shape, keyed_comparisons, page_shape, scan_shape
from app.storage.indexes.sorted_pages import sorted_page
from app.storage.predicates import condition
from app.storage.statements import COLUMNS, sequence_of
from app.storage.statements import messages as unserved
from app.storage.tables import MESSAGES

__all__ = ["A_ROW", "Render", "Served", "messages", "scan"]

A_ROW: Final = MessageQuery(limit=1)
"""What costs as much as reading one row, and so as much as what is quick."""
_MAX_LISTED: Final = 20
"""Values of one `IN` that are read one by one, a page of each."""
_LARGEST_SEQUENCE: Final = 2**63 - 1


Render: TypeAlias = Callable[..., tuple[str, tuple[Any, ...]]]
"""Renders what a function makes of a channel, a query and more, as `StatementForms` does."""


@dataclass(frozen=True, slots=True)
class Served:
    """A statement, the index that serves it, and the one that it would like."""

    sql: str
    parameters: tuple[Any, ...]
    index: IndexDefinition | None
    """None: there is none."""
    shape: Shape
    cost: MessageQuery | None
    """A page in publish order that costs as much, as far as the index tells; None: unknown."""


def messages(
    channel: Channel,
    query: MessageQuery,
    indexes: SearchIndexes,
    render: Render,
    build: Callable[..., Select[Any]] = unserved,
) -> Served:
    """Select a page of the messages that match, in the query's order.

    Args:
        channel: where.
        query: what.
        indexes: that are there.
        render: as `StatementForms.rendered` does.
        build: makes the statement where no index serves the page.
    """
    equal = _equal(query)
    shape = page_shape(query, strings_in_order=indexes.strings_in_order)
    if query.in_publish_order:
        index = indexes.within(equal)
        if index is not None:
            page = render(_of_one, channel, query, index)
            return Served(*page, index, shape, cost=_page_of(query))
        for field in _listed(query):
            index = indexes.within({field, *equal})
            if index is not None:
                page = render(_of_several, channel, query, index, field)
                return Served(*page, index, shape, cost=_page_of(query))
    sort = query.sort_field
    if isinstance(sort, FieldPath) and sort == shape.ordered:
        index = indexes.ending_with(equal, sort)
        if index is not None:
            page = sorted_page(channel, query, sort, index, indexes.strings_in_order)
            return Served(*page, index, shape, cost=_page_of(query))
    return _narrowed(channel, query, indexes, render, shape, build)


def scan(
    channel: Channel,
    query: MessageQuery,
    indexes: SearchIndexes,
    render: Render,
    build: Callable[..., Select[Any]],
    *further: Any,
) -> Served:
    """Select something of all messages that match.

    Args:
        channel: where.
        query: which messages.
        indexes: that are there.
        render: as `StatementForms.rendered` does.
        build: makes the statement of the channel, the query and what is further.
        further: as `StatementForms.rendered` takes it.
    """
    shape = scan_shape(query, strings_in_order=indexes.strings_in_order)
    return _narrowed(channel, query, indexes, render, shape, build, *further)


def _narrowed(
    channel: Channel,
    query: MessageQuery,
    indexes: SearchIndexes,
    render: Render,
    shape: Shape,
    build: Callable[..., Select[Any]],
    *further: Any,
) -> Served:
    """Make a statement whose comparisons are written for the index that narrows it down most."""
    narrow = scan_shape(query, strings_in_order=indexes.strings_in_order)
    index = indexes.narrowing(narrow.equal, narrow.ordered)
    if index is None:
        statement = render(build, channel, query, *further)
        return Served(*statement, None, shape, cost=None)
    fields = IndexedFields(frozenset(index.fields), indexes.strings_in_order)
    statement = render(_by_keys, channel, query, build, fields, *further)
    # Few messages have one value, or there would be no index; of a range nobody knows.
    return Served(*statement, index, shape, cost=A_ROW if index.fields[0] in narrow.equal else None)


def _page_of(query: MessageQuery) -> MessageQuery:
    return MessageQuery(offset=query.offset, limit=query.limit)


def _by_keys(
    channel: Channel,
    query: MessageQuery,
    build: Callable[..., Select[Any]],
    fields: IndexedFields,
    *further: Any,
) -> Select[Any]:
    return build(channel, with_indexed(query, fields), *further)


# --- in publish order -----------------------------------------------------------------------


class _Run:
    """The entries of an index that have the same keys: they follow each other by sequence.

    The last key is not said to equal its value: the bounds and the order name it together with
    the sequence. So no plan can walk along the primary key for the order, past all the other
    messages of the channel.
    """

    def __init__(self, keys: Mapping[ColumnElement[Any], ColumnElement[Any]]) -> None:
        *self._fixed, (self._key, self._value) = keys.items()

    def between(self, channel: Channel, query: MessageQuery) -> ColumnElement[bool]:
        """Return the condition of lying there, and between the query's cursors."""
        after = literal(0, BigInteger) if query.after is None else sequence_of(channel, query.after)
        before = (
            literal(_LARGEST_SEQUENCE, BigInteger)
            if query.before is None
            else sequence_of(channel, query.before)
        )
        entry = tuple_(self._key, MESSAGES.c.sequence)
        up_to = [] if query.up_to is None else [MESSAGES.c.sequence <= query.up_to]
        return and_(
            *up_to,
            *(key == value for key, value in self._fixed),
            # What is left out of the index has no key; a comparison of rows does not say so.
            self._key.is_not(null()),
            entry > tuple_(self._value, after),
            entry < tuple_(self._value, before),
        )

    def order(self, descending: bool) -> list[ColumnElement[Any]]:
        """Return the order that the entries have."""
        parts = [self._key, MESSAGES.c.sequence]
        return [part.desc() if descending else part.asc() for part in parts]


def _of_one(channel: Channel, query: MessageQuery, index: IndexDefinition) -> Select[Any]:
    """Select a page of those that have one value in each field of the index."""
    equal = _equal(query)
    run = _Run({key_of(field): _operand(equal[field]) for field in index.fields})
    rest = _rest(query, [equal[field] for field in index.fields])
    page = select(*COLUMNS).where(MESSAGES.c.channel == channel.key, run.between(channel, query))
    page = page.where(*rest).offset(query.offset).limit(query.limit)
    return page.order_by(*run.order(query.is_descending))


def _of_several(
    channel: Channel,
    query: MessageQuery,
    index: IndexDefinition,
    listed: FieldPath,
) -> Select[Any]:
    """Select a page of those that have one of a few values in one field of the index.

    Of each value as many are read as the page and its offset have.
    """
    equal, comparison = _equal(query), _listed(query)[listed]
    wanted = _unnested(comparison)
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


def _unnested(comparison: Comparison) -> Any:
    assert isinstance(comparison.value, list)
    keys: list[Any] = comparison.value
    kind: Any = Text
    if comparison.field.name == "data":
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
