"""The channel: one widget of one project, and nothing of any other."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from app.errors import BadUserInput, shown

__all__ = [
    "Channel",
    "checked_client_id",
    "checked_project_id",
    "checked_widget_id",
    "parse_channel",
]

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_MAX_CLIENT_ID: Final = 128


@dataclass(frozen=True, slots=True)
class Channel:
    """A (project, widget) pair: each is its own data model."""

    project_id: str
    widget_id: str

    @property
    def key(self) -> str:
        """`project/widget`: the form used in tables and on the bus; ids hold no slash."""
        return f"{self.project_id}/{self.widget_id}"

    @classmethod
    def from_key(cls, key: str) -> "Channel":
        """Return the channel of a key that `key` once gave."""
        project_id, _, widget_id = key.partition("/")
        return cls(project_id, widget_id)


@lru_cache(maxsize=4096)
def parse_channel(project_id: str, widget_id: str) -> Channel:
    """Return the channel of two ids as a client sent them.

    Raises:
        BadUserInput: an id is not 1 to 64 of the characters A-Z a-z 0-9 _ . -
    """
    checked_project_id(project_id)
    return Channel(project_id, _checked_name("widgetId", widget_id))


def checked_project_id(value: str) -> str:
    """Return `value` if it may be the id of a project.

    Raises:
        BadUserInput: it is not 1 to 64 of the characters A-Z a-z 0-9 _ . -
    """
    return _checked_name("projectId", value)


def checked_widget_id(argument: str, value: str) -> str:
    """Return `value` if it may be the id of a widget.

    Args:
        argument: its name in the request, for the error.
        value: what came.

    Raises:
        BadUserInput: it is not 1 to 64 of the characters A-Z a-z 0-9 _ . -
    """
    return _checked_name(argument, value)


def _checked_name(argument: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise BadUserInput(
            f"{argument} is {shown(value)}; allowed: 1 to 64 characters of A-Z a-z 0-9 _ . -"
        )
    return value


def checked_client_id(argument: str, value: str) -> str:
    """Return `value`, a client id or an idempotency key, if it is 1 to 128 printable characters.

    Args:
        argument: its name in the request, for the error.
        value: what came.

    Raises:
        BadUserInput: it is empty, longer, or holds a control character or lone surrogate.
    """
    if not (1 <= len(value) <= _MAX_CLIENT_ID and value.isprintable()):
        raise BadUserInput(
            f"{argument} is {shown(value)}; allowed: 1 to {_MAX_CLIENT_ID} printable characters"
        )
    return value
