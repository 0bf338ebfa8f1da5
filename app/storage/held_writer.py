"""Holding: drafts become held messages, in groups (`app.storage.group_commit`).

The SQL function `hold_messages` (migrations) gives each the next number of arrival under the lock
that publishing takes: whoever reads those after a number misses none.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Unpack

import asyncpg

from app.defaults import MAX_HELD_MESSAGES
from app.domain.channel import Channel
from app.domain.message import Draft, Message
from app.errors import Rejected, Unavailable, shown
from app.storage.database import Database
from app.storage.group_commit import DRAFT_PARAMETERS, CommitBounds, GroupCommit, Pending
from app.storage.rows import SELECTED, message_from_row

__all__ = ["HeldWriter"]

_HOLD: Final = f"""
    SELECT outcome, {SELECTED}
    FROM hold_messages({DRAFT_PARAMETERS}, $10::bigint) ORDER BY ordinal
"""  # noqa: S608  (no value is in the text)


class HeldWriter(GroupCommit[Message]):
    """Keeps drafts until a moderator looks at them; gives back what is held, or was published."""

    def __init__(
        self,
        database: Database,
        on_held: Callable[[Collection[Channel]], None],
        *,
        most: int = MAX_HELD_MESSAGES,
        **bounds: Unpack[CommitBounds],
    ) -> None:
        """Take the database to write to.

        Args:
            database: where `hold_messages` is; it takes one connection at a time.
            on_held: told of the channels where messages have just been held; must not raise.
            most: held messages of one channel; what comes beyond is refused, `Unavailable`.
            bounds: as `GroupCommit` takes them.
        """
        super().__init__(database, **bounds)
        self._on_held = on_held
        self._most = most

    async def store(
        self, batch: Sequence[Pending[Message]], *, again: bool
    ) -> "Sequence[Message | Exception]":
        """Hold a batch; see `GroupCommit.store`."""
        rows = await self.fetch(_HOLD, batch, self._most, again=again)
        return [self._outcome(pending.draft, row) for pending, row in zip(batch, rows, strict=True)]

    def committed(self, outcomes: Sequence[Message]) -> None:
        """Tell of what is held; see `GroupCommit.committed`."""
        if channels := {message.channel for message in outcomes if message.held}:
            self._on_held(channels)

    def _outcome(self, draft: Draft, row: asyncpg.Record) -> Message | Exception:
        match row["outcome"]:
            case "held":
                return draft.held(row["created"])
            case "known":
                return message_from_row(draft.channel, row, held=row["sequence"] is None)
            case "spent":
                return Rejected(
                    f"the message with the id {shown(draft.idempotency_key)} was retracted by a "
                    "moderator; the id cannot be used again"
                )
            case _:
                return Unavailable(
                    f"{self._most} messages of the channel wait for approval, which is the limit; "
                    "retry later"
                )
