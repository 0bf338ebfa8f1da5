"""Lists of message ids, as clients send them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from app.errors import BadUserInput, shown

__all__ = ["checked_ids"]

_MOST: Final = 1_000


def checked_ids(ids: Sequence[str]) -> list[str]:
    """Return ids in the usual form of UUIDs, each once, in the order they came.

    Args:
        ids: 1 to 1,000.

    Raises:
        BadUserInput: there are fewer or more, or one is no UUID.
    """
    if not 1 <= len(ids) <= _MOST:
        raise BadUserInput(f"ids has {len(ids)} items; allowed: 1 to {_MOST}")
    checked: dict[str, None] = {}
    for place, text in enumerate(ids):
        try:
            checked[str(UUID(text))] = None
        except ValueError:
            raise BadUserInput(
                f"ids[{place}] is {shown(text)}; expected the id of a message"
            ) from None
    return list(checked)
