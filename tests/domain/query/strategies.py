"""Messages and queries that often have something to say to each other."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from app.domain.channel import Channel
from app.domain.json_value import encode_json
from app.domain.message import Message
from app.domain.query import (
    AggregateFunction,
    AggregateSort,
    And,
    Comparison,
    FieldPath,
    Filter,
    MessageQuery,
    Not,
    Operator,
    Or,
)
from app.domain.query.matching import MISSING, field_getter

# Keys that look like array indexes, in every spelling that C's strtol reads or does not.
SEGMENTS = [
    *(
        "a",
        "b",
        "A",
        "é",
        "e\u0301",
        "\U0001f600",
        "key with space",
        "'",
        '"',
        "{}",
        "a,b",
        "\\",
        "%",
    ),
    *(
        "0",
        "1",
        "2",
        "-1",
        "-2",
        "01",
        "+1",
        "-0",
        " 1",
        "1 ",
        "\t0",
        "\u00a01",
        "\u0661",
        "1x",
        "0x1",
    ),
    *("2147483647", "2147483648", "-2147483647", "-2147483648"),
]
STRINGS = [
    *(
        "",
        "a",
        "b",
        "ab",
        "aab",
        "A",
        "aB",
        "Z",
        "é",
        "e\u0301",
        "ß",
        "\U0001f600",
        "\ufffd",
        "a%b",
        "_",
    ),
    *("1", "10", "9", "true", "null", "[]", '"', "\\", "\\u0000", "'; --", "\n", "\x7f", "\x01"),
]
NUMBERS: list[int | Decimal] = [
    *(0, 1, -1, 2, 9, 10, 2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1),
    *(2**64, 10**308, -(10**308), 10**30),
    *map(Decimal, ("0.1", "0.10", "1.0", "-0.0", "1E+2", "1.5", "1e308", "-1e308", "5e-324")),
    *map(Decimal, ("1.7976931348623157e308", "0.1000000000000000055511151231257827", "1e-300")),
    Decimal("0." + "123456789" * 44),
    Decimal("-1" + "7" * 300 + ".25"),
]

CONFUSABLE: list[Any] = [
    *(0, 1, False, True, None, "", "0", "1", "true", "null", "1E+2", [], {}, 100),
    *map(Decimal, ("1.0", "-0.0", "0.10", "1E+2", "1e308", "1E+20")),
    *([0], [1], [True], [False], [None], [[]], [{}], ["1"], [1, 0], [0, 1]),
    *({"a": 1}, {"a": True}, {"a": None}, {"b": 1}, {"a": 1, "b": 0}, {"b": 0, "a": 1}),
    *(10**20, 10**308, 2**61 - 1, 2**62 - 2, 2**60),
]

strings = st.sampled_from(STRINGS) | st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4
)
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-3, 3)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: Decimal(repr(number)))
)
scalars = st.none() | st.booleans() | numbers | strings
segments = st.sampled_from(SEGMENTS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(segments, inner, max_size=3),
    max_leaves=6,
)
records = st.fixed_dictionaries(
    {"a": strings, "b": numbers, "0": st.lists(scalars, max_size=3)}, optional={"-1": values}
)
# Mostly objects, of few keys, so that paths find something.
datas: st.SearchStrategy[Any] = st.one_of(
    records, records, st.dictionaries(st.sampled_from(["a", "b", "0"]), values), values
)
_ORDERINGS = [Operator.GT, Operator.GTE, Operator.LT, Operator.LTE]
CHANNEL = Channel("project", "widget")


@st.composite
def messages(draw: st.DrawFn, most: int = 14) -> list[Message]:
    """Draw messages of one channel, in publish order; few milliseconds hold many of them."""
    found, created = [], draw(st.sampled_from([0, 1_700_000_000_000]))
    for sequence, data in enumerate(draw(st.lists(datas, min_size=1, max_size=most)), 1):
        created += draw(st.sampled_from([0, 0, 1, 2]))
        found.append(
            Message(
                channel=CHANNEL,
                sequence=sequence,
                # Unique, and in another order than the sequences.
                id=str(UUID(int=draw(st.integers(0, 2**112 - 1)) << 16 | sequence)),
                client_id=draw(st.sampled_from(["a", "B", "é", "\U0001f600", "\ufffd", "c 1"])),
                created=created,
                username=draw(st.sampled_from([None, "a", "b", "B", "\U0001f600"])),
                data_json=encode_json(data),
            )
        )
    return found


def places(data: object, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Return every path that a message's data has, and what is there."""
    found = [(path, data)]
    if isinstance(data, dict):
        for key, item in data.items():
            found += places(item, (*path, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            found += places(item, (*path, str(index)))
    return found


@st.composite
def fields(draw: st.DrawFn, messages: list[Message]) -> FieldPath:
    """Draw a field, most often one that a message has."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return FieldPath(draw(st.sampled_from(["id", "client_id", "created", "username"])))
    if kind == 1:
        return FieldPath("data", tuple(draw(st.lists(segments, max_size=3))))
    path, _ = draw(st.sampled_from(places(draw(st.sampled_from(messages)).data)))
    if path and draw(st.integers(0, 4)) == 0:
        path = (*path[:-1], draw(segments))
    return FieldPath("data", path)


@st.composite
def comparisons(draw: st.DrawFn, messages: list[Message]) -> Comparison:
    """Draw a comparison that some message is most often near to matching."""
    field = draw(fields(messages))
    found = [value for value in map(field_getter(field), messages) if value is not MISSING]
    value: Any = draw(st.sampled_from(found)) if found else draw(values)
    if draw(st.integers(0, 5)) == 5:
        value = draw(values)
    operators = [Operator.NOT_IN, Operator.EXISTS, Operator.IN, Operator.NEQ, Operator.EQ]
    if isinstance(value, str | bool | int | Decimal):
        operators += _ORDERINGS * 2
    if isinstance(value, str):
        operators += [Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.CONTAINS]
    elif isinstance(value, list) or draw(st.integers(0, 5)) == 5:
        operators += [Operator.CONTAINS] * 3
    operator = draw(st.sampled_from(operators))
    operand: Any = value
    match operator:
        case Operator.EXISTS:
            operand = draw(st.booleans())
        case Operator.IN | Operator.NOT_IN:
            # Mixed: what only Python takes for equal, and equals that are written differently.
            operand = draw(st.permutations([value, *draw(st.lists(values, max_size=3))]))
            operand += draw(st.lists(st.sampled_from(CONFUSABLE), max_size=8))
        case Operator.STARTS_WITH | Operator.ENDS_WITH | Operator.CONTAINS:
            if isinstance(value, str):
                start, length = draw(st.integers(0, 2)), draw(st.integers(0, 3))
                operand = draw(st.sampled_from([value[start : start + length], value[start:]]))
            elif isinstance(value, list) and value:
                operand = draw(st.sampled_from(value))
    return Comparison(field, operator, operand)


def filters(messages: list[Message]) -> st.SearchStrategy[Filter]:
    """Draw comparisons, alone and combined."""
    leaf: st.SearchStrategy[Filter] = comparisons(messages)
    return st.recursive(
        leaf,
        lambda inner: (
            st.builds(Not, inner)
            | st.lists(inner, max_size=3).map(lambda items: And(tuple(items)))
            | st.lists(inner, max_size=3).map(lambda items: Or(tuple(items)))
        ),
        max_leaves=4,
    )


@st.composite
def queries(draw: st.DrawFn, messages: list[Message], grouped: bool) -> MessageQuery:
    """Draw a query with at most one filter, in publish order often with cursors."""
    field = fields(messages)
    sorts: st.SearchStrategy[Any] = (
        st.sampled_from([None, "count", "key"])
        | st.builds(AggregateSort, st.sampled_from(AggregateFunction), field)
        if grouped
        else (st.none() | st.just(FieldPath("created")) | field | field)
    )
    query = MessageQuery(
        filters=tuple(draw(st.lists(filters(messages), max_size=1))),
        sort_field=draw(sorts),
        descending=draw(st.sampled_from([None, False, True])),
        offset=draw(st.sampled_from([0, 0, 1, 3])),
        limit=draw(st.sampled_from([1, 2, 5, 1000])),
        group_by=draw(field) if grouped else None,
    )
    if not query.in_publish_order:
        return query
    cursors = st.none() | st.sampled_from([message.id for message in messages])
    return replace(query, after=draw(cursors), before=draw(cursors))
