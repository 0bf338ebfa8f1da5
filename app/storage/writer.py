"""Group commit: many publishes, one statement, one fsync.

The drafts that arrive while a batch is being written make up the next batch. There is no
timer: a lone draft is written at once. The SQL function `publish_messages` (migrations)
locks each channel's counter row in a fixed order, gives each draft the next sequence and
inserts all of them; so sequences are gapless and in commit order over all processes.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_random_exponential

from app.domain.message import Draft, Message
from app.errors import ShuttingDown, Unavailable
from app.storage.database import Database, DatabaseLost

__all__ = ["MessageWriter", "Written"]

logger = logging.getLogger(__name__)

_PUBLISH: Final = """
    SELECT sequence, id::text AS id, created
    FROM publish_messages($1::text[], $2::uuid[], $3::text[], $4::text[], $5::jsonb[],
                          $6::text[], $7::boolean)
    ORDER BY ordinal
"""
_CLOSED_AFTER_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a draft."""

    message: Message | None
    """The stored message; None: the idempotency key was used before."""
    first_id: str
    """The id of the message that is stored for this draft."""


@dataclass(slots=True)
class _Pending:
    draft: Draft
    written: "asyncio.Future[Written]"
    since: float


class MessageWriter:
    """Writes drafts to the table in batches."""

    def __init__(
        self,
        database: Database,
        on_stored: Callable[[Sequence[Message]], None],
        *,
        batch_max: int = 500,
        queue_max: int = 10_000,
        timeout_seconds: float = 5.0,
    ) -> None:
        """Take the database to write to.

        Args:
            database: where `publish_messages` is.
            on_stored: told of each batch right after its commit and before its writers are;
                must not raise.
            batch_max: drafts in one statement at the most.
            queue_max: drafts waiting at the most; beyond it `write` refuses.
            timeout_seconds: how long a draft may wait for a database that is away.
        """
        self._database = database
        self._on_stored = on_stored
        self._batch_max = batch_max
        self._queue_max = queue_max
        self._timeout = timeout_seconds
        self._pending: deque[_Pending] = deque()
        self._flusher: asyncio.Task[None] | None = None
        self._closed = False

    async def write(self, draft: Draft) -> Written:
        """Store a draft; return once it is committed.

        Cancelling the caller does not take the draft back.

        Raises:
            Unavailable: too many wait, the database stayed away, or the service is closing;
                the draft may have been stored only where the database was lost meanwhile.
        """
        if self._closed:
            raise ShuttingDown
        if len(self._pending) >= self._queue_max:
            raise Unavailable(f"{self._queue_max} messages are waiting to be stored; retry later")
        pending = _Pending(draft, asyncio.get_running_loop().create_future(), time.monotonic())
        self._pending.append(pending)
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush(), name="message writer")
        # A cancelled caller cancels this future only: the draft is written all the same.
        return await pending.written

    async def close(self) -> None:
        """Refuse new drafts and write those that wait; give up after 5 s. Idempotent."""
        self._closed = True
        if self._flusher is not None:
            done, _ = await asyncio.wait({self._flusher}, timeout=_CLOSED_AFTER_SECONDS)
            if not done:
                self._flusher.cancel()
                await asyncio.wait({self._flusher})

    async def _flush(self) -> None:
        batch: list[_Pending] = []
        try:
            while self._pending:
                batch = self._next_batch()
                await self._write_batch(batch)
                batch = []
        finally:
            self._flusher = None
            for left in (*batch, *self._pending):
                _fail(left, ShuttingDown())
            self._pending.clear()

    def _next_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        keys: set[tuple[str, str, str]] = set()
        while self._pending and len(batch) < self._batch_max:
            draft = self._pending[0].draft
            if draft.idempotency_key is not None:
                key = (draft.channel.key, draft.client_id, draft.idempotency_key)
                if key in keys:
                    break  # The next batch will find the first one stored.
                keys.add(key)
            batch.append(self._pending.popleft())
        return batch

    async def _write_batch(self, batch: list[_Pending], *, again: bool = False) -> None:
        try:
            try:
                await self._insert(batch, again=again)
            except DatabaseLost:
                await self._insert_again(batch)
        except Unavailable as error:
            for pending in batch:
                _fail(pending, error)
        except Exception as error:
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            # One draft that Postgres refuses must not take its neighbours along.
            logger.exception("a batch of %d messages failed; writing them singly", len(batch))
            for pending in batch:
                # Again: where a connection was lost before, it may be stored already.
                await self._write_batch([pending], again=True)

    async def _insert_again(self, batch: list[_Pending]) -> None:
        waited = time.monotonic() - batch[0].since
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(DatabaseLost),
            stop=stop_after_delay(max(0.0, self._timeout - waited)),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            reraise=True,
        ):
            with attempt:
                await self._insert(batch, again=True)

    async def _insert(self, batch: list[_Pending], *, again: bool) -> None:
        drafts = [pending.draft for pending in batch]
        rows = await self._database.fetch(
            _PUBLISH,
            [draft.channel.key for draft in drafts],
            [draft.id for draft in drafts],
            [draft.client_id for draft in drafts],
            [draft.username for draft in drafts],
            [draft.data_json for draft in drafts],
            [draft.idempotency_key for draft in drafts],
            # A lost connection leaves open whether the last try was committed.
            again,
        )
        written = [_written(pending.draft, *row) for pending, row in zip(batch, rows, strict=True)]
        self._on_stored([one.message for one in written if one.message is not None])
        for pending, one in zip(batch, written, strict=True):
            if not pending.written.done():
                pending.written.set_result(one)


def _written(draft: Draft, sequence: int, stored_id: str, created: int) -> Written:
    if stored_id != draft.id:
        return Written(None, stored_id)
    message = Message(
        channel=draft.channel,
        sequence=sequence,
        id=draft.id,
        client_id=draft.client_id,
        created=created,
        username=draft.username,
        data_json=draft.data_json,
    )
    return Written(message, stored_id)


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.written.done():
        pending.written.set_exception(error)
        pending.written.exception()  # its caller may be gone: no warning about that
