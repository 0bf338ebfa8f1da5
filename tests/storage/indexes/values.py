"""Values at the edges of `search_key`: what is its own key, and what shares one."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from app.domain.message import Message
from app.domain.query import Comparison, FieldPath, Filter, MessageQuery, Not, Operator, Or
from app.domain.query.matching import MISSING, field_getter
from tests.domain.query.strategies import NUMBERS, values
from tests.domain.query.strategies import messages as drawn_messages
from tests.storage.stored import VALUES, published

__all__ = ["LONG", "keyed_messages", "keyed_queries"]

LONG: list[Any] = [
    *("x" * 99, "x" * 100, "x" * 101, "x" * 102, "x" * 101 + "a", "x" * 101 + "b", "x" * 100 + "z"),
    *("é" * 100, "é" * 101, "é" * 102, "é" * 101 + "\U0001f600", "\U0001f600" * 150),
    *('"' * 101, "\\" * 150, "\x01" * 120),
    Decimal("0." + "123456789" * 44),
    Decimal("-1" + "7" * 300 + ".25"),
]
FIELDS = [FieldPath("data", (name,)) for name in ("a", "b", "c", "d")]
_OTHERS = [FieldPath("client_id"), FieldPath("username"), FieldPath("data", ("a", "0"))]
_ORDERINGS = [Operator.GT, Operator.GTE, Operator.LT, Operator.LTE]

_values = st.sampled_from([1, 2, "a", True]) | st.sampled_from([*VALUES, *LONG, *NUMBERS]) | values


@st.composite
def keyed_messages(draw: st.DrawFn) -> list[Message]:
    """Draw messages whose data has some of the fields that are indexed."""
    datas = st.dictionaries(st.sampled_from(["a", "b", "c"]), _values, max_size=3)
    drawn = published(draw(st.lists(datas, min_size=1, max_size=12)))
    return drawn if draw(st.booleans()) else draw(drawn_messages())


@st.composite
def _comparisons(draw: st.DrawFn, messages: list[Message]) -> Filter:
    field = draw(st.sampled_from([*FIELDS, *FIELDS, *_OTHERS]))
    found = [value for value in map(field_getter(field), messages) if value is not MISSING]
    near = bool(found) and draw(st.integers(0, 3)) > 0
    value: Any = draw(st.sampled_from(found)) if near else draw(_values)
    operators = [Operator.EQ] * 4 + [Operator.IN] * 2
    operators += [Operator.NEQ, Operator.NOT_IN, Operator.EXISTS]
    if isinstance(value, str | bool | int | Decimal):
        operators += _ORDERINGS
    if isinstance(value, str):
        operators += [Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS]
    operator = draw(st.sampled_from(operators))
    operand: Any = value
    if operator is Operator.EXISTS:
        operand = draw(st.booleans())
    elif operator in (Operator.IN, Operator.NOT_IN):
        operand = [value, *draw(st.lists(st.sampled_from(found) if found else _values, max_size=3))]
    comparison = Comparison(field, operator, operand)
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return Not(comparison)
    return Or((comparison, Comparison(FIELDS[0], Operator.EQ, 1))) if kind == 1 else comparison


@st.composite
def keyed_queries(draw: st.DrawFn, messages: list[Message], *, grouped: bool) -> MessageQuery:
    """Draw a query that an index serves more often than not."""
    sorts: list[Any] = [None, "count", "key"] if grouped else [None, None, *FIELDS, *FIELDS]
    sort = draw(st.sampled_from(sorts))
    cursors: list[str | None] = [None, None]
    if sort is None and not grouped:
        ids = st.none() | st.sampled_from([message.id for message in messages])
        cursors = [draw(ids), draw(ids)]
    return MessageQuery(
        filters=tuple(draw(st.lists(_comparisons(messages), max_size=3))),
        sort_field=sort,
        descending=draw(st.sampled_from([None, False, True])),
        offset=draw(st.sampled_from([0, 0, 1, 3])),
        limit=draw(st.sampled_from([1, 2, 5, 1000])),
        group_by=draw(st.sampled_from(FIELDS)) if grouped else None,
        after=cursors[0],
        before=cursors[1],
    )
