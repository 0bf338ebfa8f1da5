"""The keys of the values that a filter names: what `search_key` would return for them.

A value that is its own key is exact: no other value has that key. All that a client may send
is exact but long strings, and arrays and objects that hold something.
"""

from typing import Final

from app.domain.json_value import JsonValue, encode_json

__all__ = ["KEY_CHARACTERS", "is_exact", "key_json"]

KEY_CHARACTERS: Final = 100
"""Characters of the longest string that is its own key."""


def is_exact(value: JsonValue) -> bool:
    """Return whether no other value has the key of this one."""
    if isinstance(value, str):
        return len(value) <= KEY_CHARACTERS
    return value == [] if isinstance(value, list) else not isinstance(value, dict)


def key_json(value: JsonValue) -> bytes:
    """Return the JSON text of a value's key."""
    if isinstance(value, str):
        return encode_json(value[: KEY_CHARACTERS + 1])
    if isinstance(value, dict):
        return b"{}"
    return b"[null]" if isinstance(value, list) and value else encode_json(value)
