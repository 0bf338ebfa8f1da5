"""Publishing: drafts become stored messages, in groups (`app.storage.group_commit`).

The SQL function `publish_messages` (migrations) locks each channel's counter row in a fixed
order, gives each draft the next sequence and inserts all of them; so sequences are gapless and
in commit order over all processes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final, Unpack

from app.domain.entry import Retraction, StoredEntry
from app.domain.message import Draft, Message
from app.domain.policy import Pacing
from app.storage.database import Database
from app.storage.group_commit import DRAFT_PARAMETERS, CommitBounds, GroupCommit, Pending
from app.storage.rows import removed_message

__all__ = ["MessageWriter", "Written"]

_COLUMNS: Final = """
    sequence, id::text AS id, created, removed_sequence, removed_id::text AS removed_id,
    removed_client_id, removed_created, removed_username, removed_data, removed_publisher
"""
_REPLACE: Final = f"SELECT {_COLUMNS} FROM publish_messages({DRAFT_PARAMETERS}) ORDER BY ordinal"  # noqa: S608
# Most batches replace nothing: seven columns less to read, for each message.
_PUBLISH: Final = f"""
    SELECT sequence, id::text AS id, created
    FROM publish_messages({DRAFT_PARAMETERS}) ORDER BY ordinal
"""  # noqa: S608
_PUBLISH_PACED: Final = f"""
    SELECT pause_wait, rate_wait, {_COLUMNS}
    FROM publish_paced_messages({DRAFT_PARAMETERS}, $10::integer[], $11::integer[]) ORDER BY ordinal
"""  # noqa: S608  (no value is in the text)
_NO_PACING: Final = Pacing(0, 0)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a draft."""

    message: Message | None
    """The stored message; None: the idempotency key was used before."""
    first_id: str | None
    """The id of the message that is stored for this draft; None: there is none and will be none,
    for its key is spent."""
    retraction: Retraction | None = None
    """Of the publisher's earlier message, which the new one replaces."""

    @property
    def entries(self) -> Sequence[StoredEntry]:
        """What was stored for it, in order."""
        if self.message is None or not self.message.created:
            return ()  # an earlier try has stored it, and it was retracted since
        return (self.message,) if self.retraction is None else (self.retraction, self.message)


class MessageWriter(GroupCommit[Written]):
    """Writes drafts to the table in batches."""

    def __init__(
        self,
        database: Database,
        on_stored: Callable[[Sequence[StoredEntry]], None],
        **bounds: Unpack[CommitBounds],
    ) -> None:
        """Take the database to write to.

        Args:
            database: where `publish_messages` is; one connection is enough.
            on_stored: told of each batch right after its commit and before its writers are;
                must not raise.
            bounds: as `GroupCommit` takes them.
        """
        super().__init__(database, **bounds)
        self._on_stored = on_stored

    async def store(
        self, batch: Sequence[Pending[Written]], *, again: bool
    ) -> "Sequence[Written | Exception]":
        """Write a batch; see `GroupCommit.store`."""
        if any(pending.pacing is not None for pending in batch):
            return await self._store_paced(batch, again=again)
        replaces = any(pending.draft.retraction_id is not None for pending in batch)
        rows = await self.fetch(_REPLACE if replaces else _PUBLISH, batch, again=again)
        return [_written(pending.draft, *row) for pending, row in zip(batch, rows, strict=True)]

    def committed(self, outcomes: Sequence[Written]) -> None:
        """Tell of what was stored; see `GroupCommit.committed`."""
        self._on_stored([entry for one in outcomes for entry in one.entries])

    async def _store_paced(
        self, batch: Sequence[Pending[Written]], *, again: bool
    ) -> "Sequence[Written | Exception]":
        """Write those that need not wait."""
        pacings = [pending.pacing or _NO_PACING for pending in batch]
        rows = await self.fetch(
            _PUBLISH_PACED,
            batch,
            [pacing.pause_seconds for pacing in pacings],
            [pacing.per_second for pacing in pacings],
            again=again,
        )
        return [
            _paced(pending.draft, pacing, *row)
            for pending, pacing, row in zip(batch, pacings, rows, strict=True)
        ]


def _paced(
    draft: Draft, pacing: Pacing, pause_wait: int, rate_wait: int, *row: Any
) -> Written | Exception:
    if pause_wait:
        return pacing.too_soon(ceil(pause_wait / 1000))
    if rate_wait:
        return pacing.too_many(ceil(rate_wait / 1000))
    return _written(draft, *row)


def _written(
    draft: Draft, sequence: int, stored_id: str | None, created: int, *removed: Any
) -> Written:
    if stored_id != draft.id:
        return Written(None, stored_id)
    retraction = None
    if removed and removed[0] is not None:
        assert draft.retraction_id is not None
        retraction = Retraction(
            draft.channel,
            sequence - 1,
            draft.retraction_id,
            created,
            (removed[1],),
            removed=(removed_message(draft.channel, removed),),
        )
    return Written(draft.placed(sequence, created), stored_id, retraction)
