"""The legacy search, written in the terms of the query language.

Widgets write operators as signs (`>=`), as words ("greater than or equal to") or by their
GraphQL names, in any case. This module renames; what a query means, and whether it is
allowed, is decided by `app.domain.query` alone.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Final

from app.domain.json_value import JsonValue
from app.domain.query.message_query import QUERY_KEYS
from app.errors import BadUserInput, shown

__all__ = ["operator_name", "query_wire"]

_NAMES: Final = {
    "EQ": "=  ==  equal  equals  equal to  equals to  is  is equal to",
    "NEQ": "!=  <>  ne  not equal  not equals  not equal to  is not  is not equal to"
    "  does not equal",
    "GT": ">  greater  greater than  is greater than  more than",
    "GTE": ">=  ge  greater than or equal  greater than or equals  greater than or equal to"
    "  greater or equal  is greater than or equal to  at least",
    "LT": "<  less  less than  is less than  lower than",
    "LTE": "<=  le  less than or equal  less than or equals  less than or equal to"
    "  less or equal  is less than or equal to  lower than or equal to  at most",
    "IN": "is in  one of  any of  is one of",
    "NOT_IN": "nin  is not in  not one of  none of  is not one of",
    "CONTAINS": "contain  includes  include",
    "STARTS_WITH": "start with  begins with  begin with",
    "ENDS_WITH": "end with",
    "EXISTS": "exist",
}
"""By GraphQL name, the other spellings, two spaces between them."""

_SPACE: Final = re.compile(r"[\s_-]+")
_MAX_FILTERS: Final = 500
"""Filters of one search, those inside others included; as many input objects GraphQL may have."""
_MAX_LOOKED_AT: Final = 20
"""Unknown keys that are compared with the known ones, and the characters one of them may have."""
_MAX_DEPTH: Final = 64
"""Filters inside filters that are renamed; the query language refuses far fewer."""


def _folded(text: str) -> str:
    return _SPACE.sub("", text).casefold()


_BY_SPELLING: Final = {
    _folded(spelling): name
    for name, spellings in _NAMES.items()
    for spelling in (name, *spellings.split("  "))
}


def operator_name(at: str, operator: object) -> str:
    """Return the GraphQL name of an operator as a widget spells it.

    Args:
        at: where it stands in the query, for the error.
        operator: a sign, words or a name; case, white space, `_` and `-` do not matter.

    Raises:
        BadUserInput: nobody knows it.
    """
    name = _BY_SPELLING.get(_folded(operator)) if isinstance(operator, str) else None
    if name is None:
        raise BadUserInput(
            f"{at} is {shown(operator) if isinstance(operator, str) else 'not a string'}; "
            f"allowed: > >= < <= = == != <>, words like 'greater than', and {' '.join(_NAMES)}"
        )
    return name


def query_wire(query: Mapping[str, JsonValue]) -> dict[str, object]:
    """Return a legacy search's query in the wire form of `app.domain.query.parse_query`.

    A key that is null counts as absent, and an unknown one is ignored, as widgets pass
    more than the platform ever read. Only one that is nearly a known one is refused: a search
    without its `filters` finds everything.

    Raises:
        BadUserInput: an operator nobody knows, a key that is misspelt, or more than 500 filters.
            The rest is left to `parse_query`.
    """
    _refuse_misspelt(query)
    wire: dict[str, object] = {key: query[key] for key in QUERY_KEYS if query.get(key) is not None}
    order = wire.get("sortOrder")
    if isinstance(order, str):
        wire["sortOrder"] = order.strip().upper()
    if "filters" in wire:
        wire["filters"] = _Renaming().filters("query.filters", wire["filters"], _MAX_DEPTH)
    if "groupBy" in wire and wire.get("sortField") == "created":
        # The documentation's sample query sorts by `created`, with and without a groupBy.
        # A group has no `created`: it is sorted by its count, as without a sortField.
        del wire["sortField"]
        wire.pop("sortOrder", None)
    return wire


def _refuse_misspelt(query: Mapping[str, JsonValue]) -> None:
    unknown = (key for key in query if key not in QUERY_KEYS and len(key) <= _MAX_LOOKED_AT)
    for key in islice(unknown, _MAX_LOOKED_AT):
        for meant in get_close_matches(key, QUERY_KEYS, 1, 0.8):
            if query[key] is not None:
                raise BadUserInput(
                    f"query has no {shown(key)}; did you mean {meant!r}? "
                    f"Its keys are {', '.join(QUERY_KEYS)}"
                )


class _Renaming:
    """The filters of one search; it counts them before anything is made of them."""

    def __init__(self) -> None:
        self._left = _MAX_FILTERS

    def filters(self, at: str, filters: object, depth_left: int) -> object:
        if not isinstance(filters, list):
            return filters
        return [
            self.filter(f"{at}[{index}]", item, depth_left - 1)
            for index, item in enumerate(filters)
        ]

    def filter(self, at: str, wire: object, depth_left: int) -> object:
        self._left -= 1
        if self._left < 0:
            raise BadUserInput(f"{at} exceeds the limit of {_MAX_FILTERS} filters per search")
        if not isinstance(wire, Mapping) or depth_left < 0:
            return wire
        renamed = {key: value for key, value in wire.items() if value is not None or key == "value"}
        if "operator" in renamed:
            renamed["operator"] = operator_name(f"{at}.operator", renamed["operator"])
        for key in ("and", "or"):
            if key in renamed:
                renamed[key] = self.filters(f"{at}.{key}", renamed[key], depth_left)
        if "not" in renamed:
            renamed["not"] = self.filter(f"{at}.not", renamed["not"], depth_left - 1)
        return renamed
