"""How settings are put into words: what was expected, what came, and never a secret."""

import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from app.errors import shown
from app.setting_names import PREFIX

__all__ = ["printable", "problem"]

_SECRETS: Final = frozenset(
    {"jwt_secret", "jwt_public_key", "client_secret", "database_url", "broadcast_url"}
)


def printable(name: str, value: object) -> str | int | float | bool | None:
    """Return a setting's value as it may be shown: secrets and passwords masked."""
    if value is None:
        return None
    if name in {"database_url", "broadcast_url", "jwks_url"}:
        return _without_password(str(value))
    if name in _SECRETS:
        return "(set)"
    if isinstance(value, tuple):
        return ",".join(value)
    return value if isinstance(value, int | float) else str(value)


def _without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(set)"
    # Query parameters may hold a password too.
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}:***@" if parts.username else ""
    hidden = "?***" if parts.query else ""
    return f"{parts.scheme}://{user}{host}{parts.path}{hidden}" if parts.netloc else url


def problem(fields: Mapping[str, FieldInfo], details: ErrorDetails) -> str:
    """Return one line on what pydantic found wrong: expected what, got what.

    Args:
        fields: the settings by name.
        details: pydantic's; its own text is not used, since it may hold a secret.
    """
    name = str(details["loc"][0]) if details["loc"] else ""
    field = fields.get(name)
    if field is None:
        return f"{name}: expected the name of a setting"
    raised = details.get("ctx", {}).get("error")
    expected = str(raised) if isinstance(raised, ValueError) else _expected(field)
    came = details["input"]
    got = "a value that is not shown" if name in _SECRETS else shown(came)
    return f"{PREFIX}{name.upper()}: expected {expected}, got {got}"


def _expected(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(part for part in get_args(kind) if part is not type(None))
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if kind is bool:
        return "true or false"
    if kind in {int, float}:
        bounds = {type(part).__name__: part for part in field.metadata}
        text = "a whole number" if kind is int else "a number"
        return f"{text} from {bounds['Ge'].ge} to {bounds['Le'].le}"
    return "a path" if kind is Path else "text"
