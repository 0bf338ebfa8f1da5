"""A whole query: which messages, in which order, which page of them, and grouped by what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from app.domain.json_value import json_shown
from app.domain.query.fields import FieldPath, parse_field
from app.domain.query.filter_parser import parse_filters
from app.domain.query.filters import Filter
from app.domain.query.operators import SortOrder
from app.errors import BadUserInput

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_LIMIT",
    "MAX_OFFSET",
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

_KEYS: Final = ("sortField", "sortOrder", "offset", "limit", "filters", "groupBy")


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """A parsed query; every field has been checked."""

    filters: tuple[Filter, ...] = ()
    """All must hold."""
    sort_field: FieldPath | GroupSort | None = None
    """A field; with `group_by` "count" or "key". None: by `created`, or by "count"."""
    descending: bool | None = None
    """None: descending for groups by "count", ascending for all else."""
    offset: int = 0
    limit: int = DEFAULT_LIMIT
    group_by: FieldPath | None = None
    """The field whose equal values make a group; a missing one counts as null."""


def parse_query(wire: Mapping[str, object], at: str = "query") -> MessageQuery:
    """Return the query that a request's object means.

    Args:
        wire: an object with any of `sortField`, `sortOrder`, `offset`, `limit`, `filters`
            and `groupBy`; a key whose value is None is taken as absent.
        at: the place in the request, for errors.

    Raises:
        BadUserInput: an unknown key, field, operator or order, a number out of its bounds
            (offset 0 to 100000, limit 0 to 1000), or a filter that `parse_filter` refuses.
    """
    if not isinstance(wire, Mapping):
        raise BadUserInput(f"{at} is {json_shown(wire)}; allowed is a query object")
    for key in wire:
        if key not in _KEYS:
            raise BadUserInput(
                f"{at} has the key {json_shown(key)}; allowed are {', '.join(_KEYS)}"
            )
    group_by = wire.get("groupBy")
    return MessageQuery(
        filters=parse_filters(wire.get("filters"), f"{at}.filters"),
        sort_field=_sort_field(f"{at}.sortField", wire.get("sortField"), group_by is not None),
        descending=_descending(f"{at}.sortOrder", wire.get("sortOrder")),
        offset=_number(f"{at}.offset", wire.get("offset"), 0, MAX_OFFSET),
        limit=parse_limit(f"{at}.limit", wire.get("limit")),
        group_by=None if group_by is None else parse_field(f"{at}.groupBy", group_by),
    )


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
        raise BadUserInput(
            f"{at} is {json_shown(wire)}; allowed are whole numbers from 0 to {most}"
        )
    return wire


def _sort_field(at: str, wire: object, grouped: bool) -> FieldPath | GroupSort | None:
    if wire is None:
        return None
    if not grouped:
        return parse_field(at, wire)
    if wire == "count":
        return "count"
    if wire == "key":
        return "key"
    raise BadUserInput(f"{at} is {json_shown(wire)}; with groupBy allowed are count and key")


def _descending(at: str, wire: object) -> bool | None:
    if wire is None:
        return None
    if isinstance(wire, str) and wire in SortOrder.__members__:
        return wire == SortOrder.DESC
    raise BadUserInput(f"{at} is {json_shown(wire)}; allowed are {' and '.join(SortOrder)}")
