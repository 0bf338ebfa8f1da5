"""A whole query: which messages, in which order, which page of them, and grouped by what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from app.domain.json_value import json_shown
from app.domain.query.fields import ALLOWED_FIELDS, FieldPath, parse_field
from app.domain.query.filter_parser import parse_filters
from app.domain.query.filters import Filter
from app.domain.query.operators import AggregateFunction, SortOrder
from app.errors import BadUserInput

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_CURSOR_LENGTH",
    "MAX_LIMIT",
    "MAX_OFFSET",
    "QUERY_KEYS",
    "AggregateSort",
    "GroupSort",
    "MessageQuery",
    "parse_limit",
    "parse_query",
]

GroupSort: TypeAlias = Literal["count", "key"]

DEFAULT_LIMIT: Final = 50
"""Messages, or groups, of a page when the query does not say."""
MAX_LIMIT: Final = 1000
"""Messages, or groups, of a page at most."""
MAX_OFFSET: Final = 100_000
"""Messages, or groups, to skip at most: all that are skipped are read."""

MAX_CURSOR_LENGTH: Final = 128
"""Characters of `after` and `before`; the id of a message has 36."""

QUERY_KEYS: Final = (
    "sortField",
    "sortOrder",
    "offset",
    "limit",
    "filters",
    "groupBy",
    "after",
    "before",
)
_GROUP_SORTS: Final = (
    f"count, key, or one of {', '.join(AggregateFunction)} of a field, such as max(data.score)"
)
_AGGREGATE: Final = re.compile(rf"({'|'.join(AggregateFunction)})\((.*)\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class AggregateSort:
    """Groups sorted by what the values of a field come to in each."""

    function: AggregateFunction
    field: FieldPath

    def __str__(self) -> str:
        return f"{self.function}({self.field})"


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A parsed query; every field has been checked."""

    filters: tuple[Filter, ...] = ()
    """All must hold."""
    sort_field: FieldPath | GroupSort | AggregateSort | None = None
    """A field; with `group_by` "count", "key" or an aggregate. None: `created`, or "count"."""
    descending: bool | None = None
    """As it was asked for; what holds is `is_descending`."""
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    group_by: FieldPath | None = None
    """The field whose equal values make a group; a missing one counts as null."""
    after: str | None = None
    """The id of a message, as given: only what was stored after it, in publish order."""
    before: str | None = None
    """The id of a message, as given: only what was stored before it, in publish order."""
    up_to: int | None = None
    """A sequence: only what was stored up to it. No client asks for it: a result that is kept
    begins as of a place in the channel's order."""

    @property
    def in_publish_order(self) -> bool:
        """Whether the messages come in the order they were stored, or in its reverse."""
        if self.group_by is not None:
            return False
        field = self.sort_field
        return field is None or (isinstance(field, FieldPath) and field.name == "created")

    @property
    def is_descending(self) -> bool:
        """Whether the largest or newest come first; groups do, unless sorted by "key"."""
        if self.descending is None:
            return self.group_by is not None and self.sort_field != "key"
        return self.descending


def parse_query(wire: Mapping[str, object], at: str = "query") -> MessageQuery:
    """Return the query that a request's object means.

    Args:
        wire: an object with any of `sortField`, `sortOrder`, `offset`, `limit`, `filters`,
            `groupBy`, `after` and `before`; a key whose value is None is taken as absent.
        at: the place in the request, for errors.

    Raises:
        BadUserInput: an unknown key, field, operator or order, a number out of its bounds
            (offset 0 to 100000, limit 0 to 1000), a filter that `parse_filter` refuses,
            `after` or `before` in any order but the publish order.
    """
    if not isinstance(wire, Mapping):
        raise BadUserInput(f"{at} is {json_shown(wire)}; expected a query object")
    for key in wire:
        if key not in QUERY_KEYS:
            raise BadUserInput(
                f"{at} has the key {json_shown(key)}; allowed: {', '.join(QUERY_KEYS)}"
            )
    group_by = wire.get("groupBy")
    query = MessageQuery(
        filters=parse_filters(wire.get("filters"), f"{at}.filters"),
        sort_field=_sort_field(f"{at}.sortField", wire.get("sortField"), group_by is not None),
        descending=_descending(f"{at}.sortOrder", wire.get("sortOrder")),
        offset=_number(f"{at}.offset", wire.get("offset"), 0, MAX_OFFSET),
        limit=parse_limit(f"{at}.limit", wire.get("limit")),
        group_by=None if group_by is None else parse_field(f"{at}.groupBy", group_by),
        after=_cursor(f"{at}.after", wire.get("after")),
        before=_cursor(f"{at}.before", wire.get("before")),
    )
    for name, cursor in (("after", query.after), ("before", query.before)):
        if cursor is not None and not query.in_publish_order:
            came = "groupBy" if query.group_by is not None else f"sortField {query.sort_field}"
            raise BadUserInput(
                f"{at}.{name} cannot be combined with {came}; it pages in publish order: omit "
                "groupBy, and omit sortField or set it to created"
            )
    return query


def parse_limit(at: str, wire: object, default: int = DEFAULT_LIMIT) -> int:
    """Return a page's length.

    Args:
        at: the argument's name, for the error.
        wire: what came; None: `default`.
        default: the length when none was given.

    Raises:
        BadUserInput: not a whole number from 0 to 1000.
    """
    return _number(at, wire, default, MAX_LIMIT)


def _number(at: str, wire: object, default: int, most: int) -> int:
    if wire is None:
        return default
    if not isinstance(wire, int) or isinstance(wire, bool) or not 0 <= wire <= most:
        raise BadUserInput(f"{at} is {json_shown(wire)}; allowed: whole numbers from 0 to {most}")
    return wire


def _sort_field(
    at: str, wire: object, grouped: bool
) -> FieldPath | GroupSort | AggregateSort | None:
    if wire is None:
        return None
    aggregate = _AGGREGATE.fullmatch(wire) if isinstance(wire, str) else None
    if not grouped:
        if aggregate or wire in ("count", "key"):
            raise BadUserInput(
                f"{at} is {json_shown(wire)}, which needs groupBy; allowed: {ALLOWED_FIELDS}"
            )
        return parse_field(at, wire)
    if wire == "count":
        return "count"
    if wire == "key":
        return "key"
    if aggregate:
        function, field = aggregate.groups()
        at = f"the field of {function} in {at}"
        return AggregateSort(AggregateFunction(function), parse_field(at, field))
    raise BadUserInput(f"{at} is {json_shown(wire)}; allowed with groupBy: {_GROUP_SORTS}")


def _cursor(at: str, wire: object) -> str | None:
    if wire is None:
        return None
    if not isinstance(wire, str):
        raise BadUserInput(f"{at} is {json_shown(wire)}; expected the id of a message")
    if len(wire) > MAX_CURSOR_LENGTH:
        raise BadUserInput(
            f"{at} has {len(wire)} characters, at most {MAX_CURSOR_LENGTH} are allowed"
        )
    return wire


def _descending(at: str, wire: object) -> bool | None:
    if wire is None:
        return None
    if isinstance(wire, str) and wire in SortOrder.__members__:
        return wire == SortOrder.DESC
    raise BadUserInput(f"{at} is {json_shown(wire)}; allowed: {' and '.join(SortOrder)}")
