"""`created` in a filter as bounds on the sequence: the primary key serves it, no index of its own.

`created` never runs backwards within a channel, so the messages of a time are a run of
sequences. Its ends are found by halving: some twenty look-ups for a million messages.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Numeric,
    Select,
    Text,
    TextClause,
    bindparam,
    select,
    text,
)

from app.domain.channel import Channel
from app.domain.query import Comparison, Filter, Operator, conjuncts
from app.storage.tables import MESSAGES

__all__ = ["by_sequence", "last_before"]

_LARGEST_BIGINT: Final = 2**63 - 1

_AFTER: Final = {Operator.GTE: "<", Operator.GT: "<=", Operator.EQ: "<"}
"""How what is left out at the beginning compares with the value."""
_UP_TO: Final = {Operator.LT: "<", Operator.LTE: "<=", Operator.EQ: "<="}
"""How what is not left out at the end compares with it."""

# Between `low` and `high` it is unknown. The message in the middle, or the next one where that
# was deleted, decides for a half; where there is none up to `high`, for the lower one.
_LAST: Final = """
(WITH RECURSIVE halving (low, high) AS (
    SELECT 0::bigint,
        coalesce((SELECT max(sequence) FROM {table} WHERE channel = :channel), 0) + 1
    UNION ALL
    SELECT CASE WHEN found.created {earlier} :created THEN found.sequence ELSE low END,
        CASE WHEN found.created {earlier} :created THEN high ELSE (low + high) / 2 END
    FROM halving LEFT JOIN LATERAL (
        SELECT sequence, created FROM {table}
        WHERE channel = :channel AND sequence >= (low + high) / 2 AND sequence < high
        ORDER BY sequence LIMIT 1
    ) AS found ON true
    WHERE low + 1 < high
) SELECT low FROM halving WHERE low + 1 >= high)
"""
_TEXTS: Final = {
    earlier: _LAST.format(table="messages", earlier=earlier) for earlier in ("<", "<=")
}
_LAST_BEFORE: Final = (
    "greatest("
    + ", ".join(_LAST.format(table=table, earlier="<") for table in ("messages", "retractions"))
    + ") AS sequence"
)


def by_sequence(
    channel: Channel, filters: Iterable[Filter]
) -> tuple[list[ColumnElement[bool]], list[Filter]]:
    """Return the bounds that filters on `created` set, and the filters that remain.

    Args:
        channel: whose messages are asked for.
        filters: all must hold.
    """
    bounds: list[ColumnElement[bool]] = []
    rest: list[Filter] = []
    # A filter that is nothing but bounds is gone; what is left of one still has to hold.
    for one in conjuncts(filters):
        if isinstance(one, Comparison) and _bounds(one):
            bounds += _bounds_of(channel, one)
        else:
            rest.append(one)
    return bounds, rest


def last_before(channel: Channel, created: int) -> Select[Any]:
    """Select the `sequence` of the last that is stored and older than a time; 0: there is none.

    Args:
        channel: whose messages and retractions.
        created: milliseconds since the Unix epoch.
    """
    return select(
        text(_LAST_BEFORE).bindparams(
            bindparam("channel", channel.key, Text, unique=True), _number(created)
        )
    )


def _bounds(comparison: Comparison) -> bool:
    value = comparison.value
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    ends = comparison.operator in _AFTER or comparison.operator in _UP_TO
    return comparison.field.name == "created" and is_number and ends


def _bounds_of(channel: Channel, comparison: Comparison) -> Iterable[ColumnElement[bool]]:
    if comparison.operator in _AFTER:
        yield MESSAGES.c.sequence > _last(channel, comparison, _AFTER[comparison.operator])
    if comparison.operator in _UP_TO:
        yield MESSAGES.c.sequence <= _last(channel, comparison, _UP_TO[comparison.operator])


def _last(channel: Channel, comparison: Comparison, earlier: str) -> TextClause:
    """Return the last sequence whose `created` is `earlier` than the value; 0: there is none."""
    # As text: built of expressions, it takes 2 ms to render.
    return text(_TEXTS[earlier]).bindparams(
        bindparam("channel", channel.key, Text, unique=True),
        _number(comparison.value),
    )


def _number(value: Any) -> BindParameter[Any]:
    is_bigint = isinstance(value, int) and -_LARGEST_BIGINT <= value <= _LARGEST_BIGINT
    kind = BigInteger if is_bigint else Numeric
    return bindparam("created", value if is_bigint else Decimal(value), kind, unique=True)
