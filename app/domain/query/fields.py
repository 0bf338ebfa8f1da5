"""The fields that a query may name: a column of the message, or a path below its data."""

import re
from dataclasses import dataclass
from typing import Final

from app.domain.json_value import json_shown
from app.domain.message import MESSAGE_FIELDS
from app.errors import BadUserInput

__all__ = [
    "ALLOWED_FIELDS",
    "FIELD_NAMES",
    "MAX_FIELD_LENGTH",
    "MAX_SEGMENTS",
    "FieldPath",
    "array_index",
    "parse_field",
]

MAX_FIELD_LENGTH: Final = 256
"""Characters of a field."""
MAX_SEGMENTS: Final = 32
"""Segments of a field, `data` included."""

_SEARCHABLE: Final = [field for field in MESSAGE_FIELDS if field.searchable]
_NAMES: Final = {name: field.name for field in _SEARCHABLE for name in (field.name, field.graphql)}

FIELD_NAMES: Final = ", ".join(
    field.name if field.name == field.graphql else f"{field.name} (or {field.graphql})"
    # `data` comes last: the paths below it are named after it.
    for field in sorted(_SEARCHABLE, key=lambda field: field.name == "data")
)
"""What may be named, in words; and then there are paths below data."""
ALLOWED_FIELDS: Final = f"{FIELD_NAMES}, or a path below data such as data.score or data.tags.0"
"""All that may be named, in words."""
_INTEGER: Final = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)", re.ASCII)
_LARGEST_INDEX: Final = 2**31


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A parsed field."""

    name: str
    """Of a searchable field of `MESSAGE_FIELDS`."""
    path: tuple[str, ...] = ()
    """The segments below `data`; empty for every other name, and for `data` as a whole."""

    def __str__(self) -> str:
        return ".".join((self.name, *self.path))


def parse_field(argument: str, text: object) -> FieldPath:
    """Return the field that `text` names.

    Args:
        argument: the argument's name in the request, for the error.
        text: what came: a name, or `data.` and segments separated by dots.

    Raises:
        BadUserInput: no such field, an empty segment, a character that no stored key can
            hold, more than 256 characters or more than 32 segments.
    """
    if not isinstance(text, str):
        raise BadUserInput(f"{argument} is {json_shown(text)}; expected a string: {ALLOWED_FIELDS}")
    if len(text) > MAX_FIELD_LENGTH:
        raise BadUserInput(
            f"{argument} has {len(text)} characters, at most {MAX_FIELD_LENGTH} are allowed"
        )
    root, *path = text.split(".")
    name = _NAMES.get(root)
    if name is None or (path and name != "data"):
        raise BadUserInput(f"{argument} is {json_shown(text)}; allowed: {ALLOWED_FIELDS}")
    if len(path) >= MAX_SEGMENTS:
        raise BadUserInput(
            f"{argument} has {len(path) + 1} segments, at most {MAX_SEGMENTS} are allowed"
        )
    if "" in path:
        raise BadUserInput(
            f"{argument} is {json_shown(text)}; segments between dots must not be empty"
        )
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise BadUserInput(
            f"{argument} is {json_shown(text)}; U+0000 and lone surrogates are not allowed"
        )
    return FieldPath(name, tuple(path))


def array_index(segment: str) -> int | None:
    """Return the place in an array that a segment means, from the end if negative, or None.

    It reads what Postgres' `#>` reads, which is what C's `strtol` reads within 32 bits:
    https://www.postgresql.org/docs/current/functions-json.html
    """
    match = _INTEGER.fullmatch(segment)
    if match is None:
        return None
    index = int(match[1])
    return index if -_LARGEST_INDEX < index < _LARGEST_INDEX else None
