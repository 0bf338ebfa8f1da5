"""Where a channel goes on that has begun to count its messages anew."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from app.domain.entry import StoredEntry

__all__ = ["known_up_to"]

Read: TypeAlias = Callable[[int, int, int], Awaitable[Sequence[StoredEntry]]]
"""Reads what is stored: after a sequence, up to another, at most so many."""


async def known_up_to(read: Read, created: int, up_to: int) -> int:
    """Return the sequence after which a channel's messages are newer than `created`.

    Rows may be missing anywhere. `created` never runs backwards within a count, so a few reads of
    one row find the place, however long the channel is.

    Args:
        read: of the channel as it is now.
        created: of the last message that is known.
        up_to: the newest sequence to look at. All up to it are known: it is returned.
    """
    known, end = 0, up_to
    probe = 0  # The usual case first: all are new.
    while known < end:
        rows = await read(probe, end, 1)
        if rows and rows[0].created <= created:
            assert rows[0].sequence is not None
            known = rows[0].sequence
        else:
            # From the probe to the end all that is there is new.
            end = probe
        probe = (known + end) // 2
    return known
