"""Pages in the order of a path: composed as text, since SQLAlchemy takes milliseconds for them.

The conditions are SQLAlchemy's, with bound parameters; around them stands what is always alike.
"""

import re
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from app.domain.channel import Channel
from app.domain.message import MESSAGE_COLUMNS
from app.domain.query import Comparison, FieldPath, Filter, MessageQuery, Operator, conjuncts
from app.storage.indexes.definitions import IndexDefinition, key_text, value_text
from app.storage.indexes.indexed_query import IndexedFields
from app.storage.indexes.keys import KEY_CHARACTERS, is_exact
from app.storage.indexes.shapes import only_numbers
from app.storage.predicates import condition

__all__ = ["sorted_page"]

_DIALECT: Final = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's own gap
_PARAMETER: Final = re.compile(r"\$(\d+)")
_RANGES: Final = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)
_LARGEST_SEQUENCE: Final = 2**63 - 1

_NAMES: Final = ", ".join(MESSAGE_COLUMNS)
_COLUMNS: Final = ", ".join(
    f"messages.{name}::text AS {name}" if name == "id" else f"messages.{name}"
    for name in MESSAGE_COLUMNS
)
# Values that differ may share such a key: long strings, arrays, objects.
_SHORTENED: Final = (
    "CASE jsonb_typeof(last.key) WHEN 'string' THEN length(last.key #>> '{}') > "
    f"{KEY_CHARACTERS} ELSE jsonb_typeof(last.key) IN ('array', 'object') END"
)


class _Statement:
    """The parameters of a statement while its text is composed."""

    def __init__(self) -> None:
        self.parameters: list[Any] = []

    def bound(self, value: Any, kind: str) -> str:
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def conditions(self, conditions: list[ColumnElement[bool]]) -> list[str]:
        """Return each as text that may stand in the statement any number of times."""
        return [self._condition(one) for one in conditions]

    def _condition(self, one: ColumnElement[bool]) -> str:
        compiled = one.compile(dialect=_DIALECT)
        assert compiled.positiontup is not None, "asyncpg's parameters are positional"
        before = len(self.parameters)
        self.parameters += [compiled.params[name] for name in compiled.positiontup]
        # Nothing else has a dollar: values are bound, and paths escape theirs.
        numbered = _PARAMETER.sub(lambda found: f"${int(found[1]) + before}", str(compiled))
        return f"({numbered})"


def sorted_page(
    channel: Channel,
    query: MessageQuery,
    sort: FieldPath,
    index: IndexDefinition,
    strings_in_order: bool,
) -> tuple[str, tuple[Any, ...]]:
    """Return the statement of a page in the order of a path, as `statements.rendered` does.

    An index has ties in publish order in one direction only, long strings by their beginnings
    only, and may not have missing ones. So the key of the page's last message comes first:
    before it lie fewer messages than the page and its offset have; of those that share it, as
    many are read; and if there is no such message, of the missing ones as many.

    Args:
        channel: whose.
        query: sorted by `sort`.
        sort: a path below `data` that no equality fixes.
        index: ends with it, and all its other fields have one value in the query.
        strings_in_order: whether the database compares strings by code point; where it does
            not, `only_numbers` holds.
    """
    statement = _Statement()
    indexed = IndexedFields(frozenset(index.fields), strings_in_order)
    ranges = [one for one in conjuncts(query.filters) if _is_key_range(one, sort, strings_in_order)]
    # Of all that tells of the sorted path, ranges alone are asked of keys: a scan that has two
    # bounds to begin at takes either.
    others = [one for one in conjuncts(query.filters) if one not in ranges]
    matching = [
        f'messages.channel = {statement.bound(channel.key, "text")} COLLATE "C"',
        *statement.conditions([condition(one, _without(indexed, one, sort)) for one in others]),
    ]
    if query.up_to is not None:
        matching.append(f"messages.sequence <= {statement.bound(query.up_to, 'bigint')}")
    in_range = statement.conditions([condition(one, indexed) for one in ranges])
    key, value = key_text(sort), value_text(sort)
    limit, offset = statement.bound(query.limit, "int"), statement.bound(query.offset, "int")
    reach = f"({limit} + {offset})"
    if only_numbers(query, sort) and not query.is_descending:
        # As the index has them.
        return (
            f"SELECT {_COLUMNS} FROM messages WHERE {_all(matching, in_range)} "
            f"ORDER BY {key}, messages.sequence LIMIT {limit} OFFSET {offset}",
            tuple(statement.parameters),
        )
    way, nearer, end = ("DESC", ">", "'[]'") if query.is_descending else ("ASC", "<", "'{}'")
    last = "(SELECT last.key FROM last)"
    # Fewer than that: all of them, as if the page ended at the last key of all. A range has no
    # such key.
    reached = last if ranges else f"coalesce({last}, {end}::jsonb)"
    present = [f"{key} IS NOT NULL"]
    rows = f"SELECT {_COLUMNS}, {value} AS sorted_by FROM messages WHERE"
    tied = [
        f"({key}, messages.sequence) > ({reached}, 0)",
        f"({key}, messages.sequence) < ({reached}, {_LARGEST_SEQUENCE})",
    ]
    same = _all(matching, present, tied)
    parts = [
        f"{rows} {_all(matching, in_range, present)} "
        f"AND {key} {nearer} coalesce({last}, {end}::jsonb) ORDER BY {key} {way} LIMIT {reach}"
    ]
    in_index_order = f"ORDER BY {key}, messages.sequence LIMIT {reach}"
    if only_numbers(query, sort):
        parts.append(f"{rows} {same} {in_index_order}")
    else:
        unknown = "false" if query.is_descending or ranges else "true"
        shortened = f"coalesce((SELECT {_SHORTENED} FROM last), {unknown})"
        parts.append(f"{rows} {same} AND NOT {shortened} {in_index_order}")
        parts.append(
            f"{rows} {same} AND {shortened} ORDER BY {value} {way}, messages.sequence LIMIT {reach}"
        )
    if not _is_present(query, sort):
        # An index on other fields too has them; it is chosen if the order is its own.
        by = f"{key}, messages.sequence" if len(index.fields) > 1 else "messages.sequence"
        parts.append(
            f"{rows} {_all(matching, in_range)} AND {key} IS NULL AND {last} IS NULL "
            f"ORDER BY {by} LIMIT {reach}"
        )
    found = " UNION ALL ".join(f"({part})" for part in parts)
    return (
        f"WITH last AS (SELECT {key} AS key FROM messages "
        f"WHERE {_all(matching, in_range, present)} "
        f"ORDER BY {key} {way} LIMIT 1 OFFSET {reach} - 1) "
        f"SELECT {_NAMES} FROM ({found}) AS found "
        f"ORDER BY sorted_by {way} NULLS LAST, sequence LIMIT {limit} OFFSET {offset}",
        tuple(statement.parameters),
    )


def _all(*conditions: list[str]) -> str:
    return " AND ".join(text for some in conditions for text in some)


def _without(indexed: IndexedFields, one: Filter, sort: FieldPath) -> IndexedFields:
    if isinstance(one, Comparison) and one.field == sort:
        return indexed._replace(fields=indexed.fields - {sort})
    return indexed


def _is_key_range(one: Filter, sort: FieldPath, strings_in_order: bool) -> bool:
    """Return whether the key alone tells if a comparison holds, and `[]` and `{}` never do."""
    if not isinstance(one, Comparison) or not _is_range(one, sort) or not is_exact(one.value):
        return False
    return not isinstance(one.value, bool) and (strings_in_order or not isinstance(one.value, str))


def _is_range(one: Comparison, field: FieldPath) -> bool:
    return one.field == field and one.operator in _RANGES


def _is_present(query: MessageQuery, field: FieldPath) -> bool:
    """Return whether all that match have something there."""
    return any(
        isinstance(one, Comparison)
        and one.field == field
        and one.operator not in (Operator.NEQ, Operator.NOT_IN)
        and not (one.operator is Operator.EXISTS and one.value is False)
        for one in conjuncts(query.filters)
    )
