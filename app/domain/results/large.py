"""Values that are too large to be compared for every result that they concern."""

from typing import Any, Final

from app.domain.query.equality import json_key

__all__ = ["is_large"]

_VALUES_MAX: Final = 200
"""Values in an array or object, itself included; more is what only an attacker groups by."""


def is_large(value: Any) -> bool:
    """Return whether a decoded JSON value, or `MISSING`, has more than 200 values in it."""
    return isinstance(value, list | dict) and json_key(value, _VALUES_MAX) is None
